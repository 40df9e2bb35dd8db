#!/bin/sh
# freebsd.sh - prepares the FreeBSD on this disk to boot from it over iSCSI, and takes that back.
# Printed by netboot-target '@VERSION@' on '@SERVER@' for target '@IQN@'.
#
# usage: freebsd.sh [COMMAND]
#   install    loads the kernel module isboot at every start, which finds the disk by the firmware's
#              table (iBFT); renames the network card that it uses to bootnet0, and keeps the rest
#              of the system from configuring that one. Nothing changes for a boot without the table.
#   check      changes nothing; says what is there and what is missing; exit code 0: prepared
#   uninstall  puts every file back as it was, and removes the package that install added

set -u
umask 022

server='@SERVER@'
port='@PORT@'
iqn='@IQN@'

name=netboot_initiator
state=/var/db/$name
package=isboot-kmod
module=/boot/modules/isboot.ko
loader=/boot/loader.conf.d/$name.conf
script=/usr/local/etc/rc.d/$name
setting=ifconfig_bootnet0

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'freebsd.sh: %s\n' "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "run it as root"
}

contents_loader() {
    say '# The disk that the firmware booted from over iSCSI, if it did.'
    say 'isboot_load="YES"'
}

contents_script() {
    cat <<'END'
#!/bin/sh

# PROVIDE: netboot_initiator
# REQUIRE: FILESYSTEMS
# BEFORE: netif dhclient
# KEYWORD: nojail

# Gives the network card that the root hangs on a name of its own, which rc.conf leaves alone.

. /etc/rc.subr

name="netboot_initiator"
desc="Rename the network card of the iSCSI root"
rcvar="netboot_initiator_enable"
start_cmd="netboot_initiator_start"
stop_cmd=":"

netboot_initiator_start()
{
	local nic

	nic="$(sysctl -ni net.isboot.nic)"
	if [ -n "$nic" ] && [ "$nic" != bootnet0 ]; then
		echo "Renaming $nic, which the iSCSI root hangs on, to bootnet0."
		ifconfig "$nic" name bootnet0
	fi
}

load_rc_config $name
: ${netboot_initiator_enable:="YES"}
run_rc_command "$1"
END
}

# Writes standard input to a file with this mode, whole or not at all.
write_file() {
    cat >"$1.$name" || return
    if [ -e "$1" ] && cmp -s "$1.$name" "$1"; then
        rm -f "$1.$name"
        return 0
    fi
    say "writing $1"
    chmod "$2" "$1.$name" && mv -f "$1.$name" "$1"
}

record() {
    grep -qxF -e "$*" $state/manifest || printf '%s\n' "$*" >>$state/manifest
}

is_recorded() {
    grep -qxF -e "$*" $state/manifest
}

make_folder() {
    [ ! -d "$1" ] || return 0
    mkdir -p "$1" && record dir "$1"
}

has_package() {
    pkg info -e $package
}

is_running_over_iscsi() {
    [ -n "$(sysctl -ni net.isboot.nic 2>/dev/null)" ]
}

# --- install --------------------------------------------------------------------------------------

look_ahead() {
    [ "$(uname -s)" = FreeBSD ] || die "this is $(uname -s), not FreeBSD"
    for tool in pkg sysrc sysctl ifconfig; do
        command -v $tool >/dev/null || die "the program $tool is missing"
    done
}

install_module() {
    [ ! -e $module ] || return 0
    say "installing: $package"
    if ! has_package; then
        env ASSUME_ALWAYS_YES=yes pkg install -y $package || {
            say "There is no package $package for this release: build it from the port" \
                "net/isboot-kmod, version 0.2.15 or later, then run this again." >&2
            return 1
        }
        record package $package
    fi
    [ -e $module ] || {
        say "$package is installed, but $module is not there" >&2
        return 1
    }
}

keep_rc_conf() {
    is_recorded kept /etc/rc.conf || is_recorded new /etc/rc.conf && return
    if [ -e /etc/rc.conf ]; then
        cp -p /etc/rc.conf $state/rc.conf && record kept /etc/rc.conf
    else
        record new /etc/rc.conf
    fi
}

install_steps() {
    install_module || return
    make_folder "${loader%/*}" || return
    contents_loader | write_file $loader 644 || return
    make_folder "${script%/*}" || return
    contents_script | write_file $script 755 || return
    if [ "$(sysrc -ni $setting)" != NOAUTO ]; then
        keep_rc_conf && sysrc $setting=NOAUTO || return
    fi
    [ ! -e /etc/rc.conf ] || cp -p /etc/rc.conf $state/rc.conf.after
}

install() {
    need_root
    look_ahead
    again=
    [ ! -e $state/manifest ] || again=yes
    mkdir -p $state || die "cannot write to $state"
    chmod 700 $state
    touch $state/manifest
    if ! install_steps; then
        [ -z "$again" ] ||
            die "A step failed. What an earlier install made stays. Mend what is said above and run" \
                "install again, or uninstall."
        say "A step failed. Everything is put back." >&2
        take_back
        exit 1
    fi
    say "Done: this disk boots in its own machine as before, and over iSCSI in another one."
    check_fstab || say "But see the notes above."
}

# --- uninstall ------------------------------------------------------------------------------------

# The file as it was; where somebody wrote to it since, only our line goes.
restore_rc_conf() {
    if [ ! -e $state/rc.conf.after ] || cmp -s /etc/rc.conf $state/rc.conf.after; then
        if is_recorded kept /etc/rc.conf; then
            cp -p $state/rc.conf /etc/rc.conf.$name && mv -f /etc/rc.conf.$name /etc/rc.conf
        elif is_recorded new /etc/rc.conf; then
            rm -f /etc/rc.conf
        fi
    elif is_recorded kept /etc/rc.conf || is_recorded new /etc/rc.conf; then
        sysrc -ix $setting
    fi
}

take_back() {
    restore_rc_conf
    rm -f $script $loader
    if is_recorded package $package && has_package; then
        say "removing: $package"
        env ASSUME_ALWAYS_YES=yes pkg delete -y $package || say "the package stays" >&2
    fi
    sed -n 's/^dir //p' $state/manifest | while read -r folder; do
        rmdir "$folder" 2>/dev/null
    done
    rm -rf $state
}

uninstall() {
    need_root
    [ -e $state/manifest ] || die "nothing to take back: $state/manifest is not there"
    ! is_running_over_iscsi ||
        die "this system runs from the iSCSI disk right now: boot the disk in its own machine first"
    take_back
    say "Done: everything is as it was before install."
}

# --- check ----------------------------------------------------------------------------------------

expect() {
    words=$1
    shift
    if "$@" >/dev/null 2>&1; then
        say "ok  $words"
    else
        say "NO  $words"
        verdict=1
    fi
}

# Another machine names its disks otherwise.
check_fstab() {
    found=0
    [ -e /etc/fstab ] || return 0
    while read -r device folder _; do
        case $device in
        /dev/ada* | /dev/da* | /dev/nda* | /dev/nvd* | /dev/vtbd*)
            say "note: /etc/fstab mounts $folder from $device, which is another name in another" \
                "machine: give the partition a label (gpart modify -l) and use /dev/gpt/LABEL"
            found=1
            ;;
        esac
    done </etc/fstab
    return $found
}

is_noauto() {
    [ "$(sysrc -ni $setting)" = NOAUTO ]
}

same_as() {
    $1 | cmp -s - "$2"
}

check() {
    look_ahead
    verdict=0
    expect "the kernel module isboot is installed" test -e $module
    expect "isboot is loaded at every start: $loader" same_as contents_loader $loader
    expect "the network card of the root is renamed: $script" same_as contents_script $script
    expect "nobody configures that card: $setting=NOAUTO in rc.conf" is_noauto
    if is_running_over_iscsi; then
        say "ok  running over iSCSI from $(sysctl -n hw.ibft.target_name) on $(sysctl -n net.isboot.nic)"
    else
        say "note: this start was not over iSCSI; the target is $iqn at $server port $port"
    fi
    check_fstab
    if [ $verdict = 0 ]; then
        say "Prepared: this disk boots over iSCSI."
    else
        say "Not prepared: run install."
    fi
    return $verdict
}

main() {
    PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin
    case ${1-install} in
    install) install ;;
    check) check ;;
    uninstall) uninstall ;;
    *) die "unknown command '$1'; there are install, check and uninstall" ;;
    esac
}

# The last line, so that a script that was cut short on its way does nothing.
main "$@" </dev/null
