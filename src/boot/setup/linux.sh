#!/bin/sh
# linux.sh - prepares the Linux on this disk to boot from it over iSCSI, and takes that back.
# Printed by netboot-target '@VERSION@' on '@SERVER@' for target '@IQN@'.
#
# usage: linux.sh [COMMAND]
#   install      makes an initramfs that finds the disk by the firmware's table (iBFT), and keeps
#                the running system's hands off the network card that the disk hangs on. Changes
#                nothing for a boot without that table. Run it as often as you like.
#   check        changes nothing; says what is there and what is missing; exit code 0: prepared
#   uninstall    puts every file back as it was, and removes the packages that install added
#   connect      logs in to the target as a further disk of this running system
#   disconnect   logs out of it again
#
# It holds secrets: keep it as private as a password. Install keeps what it replaces in
# /var/lib/netboot-initiator, and puts it back by itself when a step of the first run fails.

set -u
umask 022

server='@SERVER@'
port='@PORT@'
iqn='@IQN@'
lun='@LUN@'
initiator='@INITIATOR@'
chap_user='@CHAP_USER@'
chap_secret='@CHAP_SECRET@'
chap_target_user='@CHAP_TARGET_USER@'
chap_target_secret='@CHAP_TARGET_SECRET@'

name=netboot-initiator
sleeps='suspend hibernate hybrid-sleep suspend-then-hibernate'
state=/var/lib/$name
ibft=/sys/firmware/ibft

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'linux.sh: %s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

booted_over_iscsi() {
    [ -e $ibft/initiator ] && [ -n "$(session_of_boot)" ]
}

# The session with the target that the firmware booted from.
session_of_boot() {
    for session in /sys/class/iscsi_session/session*; do
        [ -e "$session/targetname" ] || continue
        cat $ibft/target*/target-name 2>/dev/null | grep -qxF "$(cat "$session/targetname")" &&
            printf '%s\n' "$session"
    done
}

# --- what this system is made of ------------------------------------------------------------------

# Sets generator: initramfs-tools, dracut, ostree (dracut, run by rpm-ostree) or mkinitcpio.
find_generator() {
    if [ -e /run/ostree-booted ] && has rpm-ostree; then
        generator=ostree
    elif has update-initramfs && [ -e /usr/share/initramfs-tools/hook-functions ]; then
        generator=initramfs-tools
    elif has dracut; then
        generator=dracut
    elif has mkinitcpio; then
        generator=mkinitcpio
    else
        die "found none of initramfs-tools, dracut, mkinitcpio: prepare the initramfs by hand"
    fi
}

# Sets manager.
find_manager() {
    for manager in apt-get rpm-ostree dnf zypper pacman; do
        has $manager && return
    done
    manager=none
}

# Kernels that are installed, one a line.
kernels() {
    for folder in /lib/modules/*; do
        [ -e "$folder/modules.dep" ] || continue
        printf '%s\n' "${folder##*/}"
    done
}

# The images of all kernels that can be found, one a line.
images() {
    case $generator in
    ostree)
        for image in /boot/ostree/*/initramfs-*.img; do
            [ ! -e "$image" ] || printf '%s\n' "$image"
        done
        return
        ;;
    mkinitcpio)
        for image in /boot/initramfs-*.img /efi/EFI/Linux/*.efi /boot/EFI/Linux/*.efi; do
            [ ! -e "$image" ] || printf '%s\n' "$image"
        done
        return
        ;;
    esac
    kernels | while read -r kernel; do
        image=$(image_of "$kernel")
        [ -z "$image" ] || printf '%s\n' "$image"
    done
}

image_of() {
    machine=$(cat /etc/machine-id 2>/dev/null)
    for image in "/boot/initrd.img-$1" "/boot/initramfs-$1.img" "/boot/initrd-$1" \
        "/boot/${machine:-none}/$1/initrd" "/efi/${machine:-none}/$1/initrd" \
        "/boot/efi/${machine:-none}/$1/initrd"; do
        if [ -e "$image" ]; then
            printf '%s\n' "$image"
            return
        fi
    done
}

kernel_of() {
    kernels | while read -r kernel; do
        [ "$(image_of "$kernel")" != "$1" ] || printf '%s\n' "$kernel"
    done
}

# Packages that are missing here, on one line.
missing_packages() {
    case $manager in
    apt-get)
        wanted=open-iscsi
        # Without busybox open-iscsi's script cannot set the gateway of a target behind a router.
        [ $generator = initramfs-tools ] && wanted="$wanted busybox|busybox-static"
        # network-legacy calls dhclient, arping and pgrep; rd.iscsi.ibft needs awk's and(), which
        # only gawk has.
        [ $generator = dracut ] &&
            wanted="$wanted dracut-network isc-dhcp-client iputils-arping procps gawk"
        ;;
    dnf) wanted="iscsi-initiator-utils dracut-network" ;;
    rpm-ostree) wanted=iscsi-initiator-utils ;;
    zypper | pacman) wanted=open-iscsi ;;
    *) wanted= ;;
    esac
    for choice in $wanted; do
        found=
        for package in $(printf '%s' "$choice" | tr '|' ' '); do
            is_installed "$package" && found=yes
        done
        [ -n "$found" ] || printf '%s ' "${choice%%|*}"
    done
}

is_installed() {
    case $manager in
    apt-get) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    pacman) pacman -Qq "$1" >/dev/null 2>&1 ;;
    *) rpm -q "$1" >/dev/null 2>&1 ;;
    esac
}

installed_packages() {
    case $manager in
    apt-get) dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' | sed -n 's/^installed //p' ;;
    pacman) pacman -Qq ;;
    *) rpm -qa --qf '%{NAME}\n' ;;
    esac
}

add_packages() {
    say "installing:" "$@"
    case $manager in
    apt-get)
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q && apt-get install -y -q --no-install-recommends "$@"
        ;;
    dnf) dnf install -y "$@" ;;
    rpm-ostree) rpm-ostree install --idempotent "$@" ;;
    zypper) zypper --non-interactive install --no-recommends "$@" ;;
    pacman) pacman -S --needed --noconfirm "$@" ;;
    *)
        say "this system has no package manager that linux.sh knows; it needs open-iscsi" >&2
        false
        ;;
    esac
}

# Never what needs them: such packages stay, with a word of the package manager's.
remove_packages() {
    say "removing:" "$@"
    case $manager in
    apt-get)
        export DEBIAN_FRONTEND=noninteractive
        dpkg --purge "$@"
        ;;
    rpm-ostree) rpm-ostree uninstall --idempotent "$@" ;;
    *) remove_one_by_one "$@" ;;
    esac
}

# Those that others of them need go in a later round.
remove_one_by_one() {
    while [ $# -gt 0 ]; do
        count=$#
        for package; do
            shift
            remove_package "$package" 2>/dev/null || set -- "$@" "$package"
        done
        if [ $# = "$count" ]; then
            say "something else needs them:" "$@" >&2
            return 1
        fi
    done
}

remove_package() {
    case $manager in
    pacman) pacman -Rn --noconfirm "$1" ;;
    *) rpm -e "$1" ;;
    esac
}

# --- the files ------------------------------------------------------------------------------------

# Their paths: those that go into an image first. What each holds: contents_of.
image_files() {
    case $generator in
    initramfs-tools) say /etc/initramfs-tools/conf.d/$name /etc/iscsi/iscsi.initramfs ;;
    dracut | ostree) say /etc/dracut.conf.d/90-$name.conf /etc/conf.d/$name.conf ;;
    mkinitcpio)
        say /etc/mkinitcpio.conf.d/$name.conf /etc/initcpio/install/$name \
            /etc/initcpio/hooks/$name
        ;;
    esac
}

all_files() {
    image_files
    say /etc/udev/rules.d/72-$name.rules /etc/systemd/network/05-$name.network
    has systemctl || return 0
    say /etc/systemd/system/$name.service
    for unit in open-iscsi iscsi; do
        is_unit $unit.service && say /etc/systemd/system/$unit.service.d/$name.conf
    done
    for kind in $sleeps; do
        say "/etc/systemd/system/systemd-$kind.service.d/$name.conf"
    done
    wants_kernel_cmdline && say /etc/kernel/cmdline
    return 0
}

is_unit() {
    for folder in /lib /usr/lib /etc; do
        [ ! -L "$folder/systemd/system/$1" ] && [ -e "$folder/systemd/system/$1" ] && return
    done
    return 1
}

# kernel-install takes /proc/cmdline for new entries unless this file is there, and what was booted
# over the network has words in it that the disk's own machine must not see.
wants_kernel_cmdline() {
    is_recorded /etc/kernel/cmdline && return
    [ ! -e /etc/kernel/cmdline ] && [ $generator != ostree ] && has kernel-install || return
    for folder in /boot/loader/entries /boot/efi/loader/entries /efi/loader/entries; do
        [ ! -d $folder ] || return 0
    done
    return 1
}

contents_of() {
    case $1 in
    /etc/initramfs-tools/conf.d/*) contents_initramfs_tools ;;
    /etc/iscsi/iscsi.initramfs) contents_iscsi_initramfs ;;
    /etc/dracut.conf.d/*) contents_dracut ;;
    /etc/conf.d/*) contents_dracut_words ;;
    /etc/mkinitcpio.conf.d/*) contents_mkinitcpio ;;
    /etc/initcpio/install/*) contents_mkinitcpio_install ;;
    /etc/initcpio/hooks/*) contents_mkinitcpio_hook ;;
    /etc/udev/rules.d/*) contents_udev ;;
    /etc/systemd/network/*) contents_networkd ;;
    /etc/systemd/system/netboot-initiator.service) contents_service ;;
    /etc/systemd/system/*iscsi.service.d/*) contents_quiet ;;
    /etc/systemd/system/systemd-*.service.d/*) contents_awake ;;
    /etc/kernel/cmdline) contents_kernel_cmdline ;;
    esac
}

contents_initramfs_tools() {
    cat <<'END'
# The machine that boots from this disk may have any network card.
MODULES=most
END
}

# open-iscsi's local-top/iscsi reads this file as a script, in the initramfs.
contents_iscsi_initramfs() {
    original /etc/iscsi/iscsi.initramfs
    cat <<'END'
# netboot-initiator: log in when the firmware booted over iSCSI, and only then.
modprobe -q iscsi_ibft 2>/dev/null
if [ -e /sys/firmware/ibft/target0/target-name ]; then
    ISCSI_AUTO=true
    if [ -z "${BOOTIF:-}" ] && read -r netboot_mac </sys/firmware/ibft/ethernet0/mac; then
        # Only this card: with several, the first one that answers would be taken.
        BOOTIF=01-$(echo "$netboot_mac" | sed 'y/:ABCDEF/-abcdef/')
    fi
fi
END
}

contents_dracut() {
    cat <<'END'
# The image boots this disk in its own machine and, over iSCSI, in any other. dracut runs this file:
# without open-iscsi it still has to make an image.
hostonly="no"
hostonly_cmdline="no"
if type -P iscsiadm >/dev/null && compgen -G "/usr/lib/dracut/modules.d/*iscsi" >/dev/null; then
    add_dracutmodules+=" network iscsi "
    # Named where there is no NetworkManager, or dracut takes systemd-networkd, and leaves that out
    # again without a word where dbus is missing.
    if ! compgen -G "/usr/lib*/nm-initrd-generator" >/dev/null &&
        ! compgen -G "/usr/lib/NetworkManager/nm-initrd-generator" >/dev/null &&
        compgen -G "/usr/lib/dracut/modules.d/*network-legacy" >/dev/null; then
        add_dracutmodules+=" network-legacy "
    fi
    install_items+=" /etc/conf.d/netboot-initiator.conf "
    # Debian's iscsid.service runs this first.
    install_optional_items+=" /lib/open-iscsi/startup-checks.sh /usr/lib/open-iscsi/startup-checks.sh "
fi
END
}

# dracut's scripts read /etc/conf.d before they look for words on the kernel's command line.
contents_dracut_words() {
    cat <<'END'
# netboot-initiator, in the initramfs: log in when the firmware booted over iSCSI, and only then.
if [ -e /etc/initrd-release ] && [ ! -e /etc/cmdline.d/20-netboot-initiator.conf ]; then
    modprobe -b -q iscsi_ibft 2>/dev/null
    if [ -e /sys/firmware/ibft/target0/target-name ]; then
        mkdir -p /etc/cmdline.d
        echo "rd.iscsi.firmware=1 rd.iscsi.ibft=1 rd.neednet=1" \
            >/etc/cmdline.d/20-netboot-initiator.conf
    fi
fi
END
}

contents_mkinitcpio() {
    cat <<'END'
HOOKS+=(netboot-initiator)
END
}

contents_mkinitcpio_install() {
    cat <<'END'
#!/bin/bash
# Puts into the image what finds the disk over iSCSI, on any machine.

build() {
    map add_module iscsi_tcp iscsi_ibft crc32c sd_mod
    add_all_modules '/drivers/net/(ethernet|usb|virtio_net|vmxnet3|mdio|phy)'
    add_binary iscsistart
    if [[ " ${HOOKS[*]} " == *" systemd "* ]]; then
        # Hooks do not run there, units do.
        add_binary bash
        add_file /etc/initcpio/hooks/netboot-initiator /usr/lib/netboot-initiator/hook
        netboot_unit | add_file - /usr/lib/systemd/system/netboot-initiator.service 644
        add_symlink /usr/lib/systemd/system/sysinit.target.wants/netboot-initiator.service \
            ../netboot-initiator.service
    else
        add_runscript
    fi
}

netboot_unit() {
    cat <<'UNIT'
[Unit]
Description=Log in to the disk that the firmware booted from
DefaultDependencies=no
After=systemd-udevd.service systemd-modules-load.service
Before=initrd-root-device.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/bash -c '. /usr/lib/netboot-initiator/hook; netboot_login'
Restart=on-failure
RestartSec=2
UNIT
}

help() {
    echo "Logs in to the iSCSI disk that the firmware booted from, if it did."
}
END
}

contents_mkinitcpio_hook() {
    cat <<'END'
#!/usr/bin/ash
# Runs in the initramfs. The firmware's table (iBFT) holds the addresses, the target and the secrets.

netboot_login() {
    modprobe -a -b -q iscsi_tcp iscsi_ibft crc32c
    [ -e /sys/firmware/ibft/target0/target-name ] || return 0
    iscsistart -N && iscsistart -b
}

run_hook() {
    local tries=0
    until netboot_login; do
        tries=$((tries + 1))
        if [ $tries -ge 30 ]; then
            err "the iSCSI disk of the firmware's table does not answer"
            return 1
        fi
        sleep 2
    done
}
END
}

# The MAC is compared at run time: the same disk boots in its own machine, where all cards are free.
contents_udev() {
    cat <<'END'
# The network card that the root hangs on is nobody's to configure.
ACTION=="remove", GOTO="netboot_initiator_end"
SUBSYSTEM!="net", GOTO="netboot_initiator_end"
TEST!="/sys/firmware/ibft/initiator", GOTO="netboot_initiator_end"
TEST!="device", GOTO="netboot_initiator_end"
PROGRAM!="/bin/sh -c 'cat /sys/firmware/ibft/ethernet*/mac | grep -qixF $attr{address}'", GOTO="netboot_initiator_end"
ENV{NETBOOT_INITIATOR}="1", ENV{NM_UNMANAGED}="1"
LABEL="netboot_initiator_end"
END
}

contents_networkd() {
    cat <<'END'
# Set by /etc/udev/rules.d/72-netboot-initiator.rules.
[Match]
Property=NETBOOT_INITIATOR=1

[Link]
Unmanaged=yes
END
}

# A root that comes back late is better than one that fails: the session that the firmware began
# waits for ever. The kernel keeps what is written here, whatever iscsid says later.
contents_service() {
    cat <<'END'
[Unit]
Description=Let the iSCSI session of the root wait for its server
ConditionPathExists=/sys/firmware/ibft/initiator
# It is what begins a session anew that was lost.
Wants=iscsid.service
After=iscsid.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'code=1; for s in /sys/class/iscsi_session/session*; do cat /sys/firmware/ibft/target*/target-name | grep -qxF "$$(cat $$s/targetname)" || continue; echo off >$$s/recovery_tmo && code=0; done; exit $$code'
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
END
}

contents_quiet() {
    cat <<'END'
# Nothing to log in to, nothing to say: started only for a boot over iSCSI or for nodes that are
# recorded.
[Unit]
ConditionPathExists=
ConditionPathExists=|/sys/firmware/ibft/initiator
ConditionDirectoryNotEmpty=|/etc/iscsi/nodes
ConditionDirectoryNotEmpty=|/var/lib/iscsi/nodes
END
}

contents_awake() {
    cat <<'END'
# Asleep, the network card would lose the root.
[Unit]
ConditionPathExists=!/sys/firmware/ibft/initiator
END
}

is_sleep() {
    case " sleep $sleeps " in
    *" ${1%.target} "*) ;;
    *) return 1 ;;
    esac
}

# Without what the server of the boot menu adds to a kernel's line.
contents_kernel_cmdline() {
    tr ' ' '\n' </proc/cmdline | while read -r word; do
        case $word in
        "" | BOOT_IMAGE=* | initrd=* | rd.iscsi.* | rd.neednet* | ip=* | ifname=* | netroot=* | BOOTIF=* | \
            iscsi_* | noresume) ;;
        systemd.mask=*.target) is_sleep "${word#*=}" || printf '%s ' "$word" ;;
        *) printf '%s ' "$word" ;;
        esac
    done | sed 's/ $//'
    printf '\n'
}

# --- keeping and putting back ---------------------------------------------------------------------

# $state/manifest has a line for everything that was changed, in this order:
#   dir PATH, new PATH, kept PATH, link PATH, image SHA256 PATH, package NAME, ostree WORD
record() {
    printf '%s\n' "$*" >>$state/manifest
}

recorded() {
    sed -n "s|^$1 ||p" $state/manifest 2>/dev/null
}

is_recorded() {
    [ -e $state/manifest ] && { recorded new && recorded kept; } | grep -qxF -e "$1"
}

# What stood in this file before us.
original() {
    if [ -e "$state/backup$1" ]; then
        cat "$state/backup$1"
    elif [ -e "$1" ] && ! is_recorded "$1"; then
        cat "$1"
    fi
}

make_folder() {
    [ ! -d "$1" ] || return 0
    make_folder "$(dirname "$1")" && mkdir "$1" && record dir "$1"
}

keep_copy() {
    mkdir -p "$state/backup$(dirname "$1")" && cp -a "$1" "$state/backup$1"
}

# Writes a file if it is not as it should be. Whole or not at all.
write_file() {
    contents_of "$1" >$state/work/file || return
    if [ -e "$1" ] && { [ "$1" = /etc/kernel/cmdline ] || cmp -s $state/work/file "$1"; }; then
        return 0
    fi
    say "writing $1"
    make_folder "$(dirname "$1")" || return
    if ! is_recorded "$1"; then
        if [ -e "$1" ]; then
            keep_copy "$1" && record kept "$1" || return
        else
            record new "$1"
        fi
    fi
    # With the mode and owner of what was there: it may hold secrets.
    if [ -e "$1" ]; then cp -p "$1" "$1.$name"; else : >"$1.$name"; fi &&
        cat $state/work/file >"$1.$name" && mv -f "$1.$name" "$1" || return
    ! has restorecon || restorecon "$1"
}

put_back() {
    cp -a "$state/backup$1" "$1.$name" && mv -f "$1.$name" "$1"
}

enable_service() {
    link=/etc/systemd/system/multi-user.target.wants/$name.service
    if has systemctl && [ ! -e $link ]; then
        make_folder "${link%/*}" && ln -s /etc/systemd/system/$name.service $link &&
            record link $link || return
    fi
    tell_system
}

# The running system learns of changed files.
tell_system() {
    [ ! -d /run/systemd/system ] || systemctl daemon-reload || return
    [ ! -S /run/udev/control ] || udevadm control --reload
}

# --- images ---------------------------------------------------------------------------------------

# Keeps every image as it was before the first change.
keep_images() {
    [ $generator != ostree ] || return 0
    images >$state/work/images
    while read -r image; do
        recorded image | sed 's/^[^ ]* //' | grep -qxF -e "$image" && continue
        # Of a kernel that came later: made with what an earlier run wrote.
        [ -n "$again" ] && image_is_ready "$image" $state/work/list && continue
        say "keeping a copy of $image"
        keep_copy "$image" && record image none "$image" || return
    done <$state/work/images
}

# Notes what each kept image is now, to know later whether somebody else made it anew. Who once did
# knows more than our copy: it will not come back, whatever we made since.
note_images() {
    [ -e $state/manifest ] || return 0
    recorded image | while read -r sum image; do
        [ -e "$image" ] || continue
        ! grep -qxF -e "$image" $state/work/untouched || sum=$(sum_of "$image")
        printf 'image %s %s\n' "$sum" "$image"
    done >$state/work/notes
    grep -v '^image ' $state/manifest >$state/work/manifest
    cat $state/work/notes >>$state/work/manifest
    mv $state/work/manifest $state/manifest
}

sum_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Whether the image of $1 holds what boots from the iBFT. Its list of files goes to the file $2.
image_is_ready() {
    case $generator in
    initramfs-tools)
        lsinitramfs "$1" >"$2" 2>/dev/null
        wanted='sbin/iscsistart$ etc/iscsi.initramfs$'
        ;;
    dracut | ostree)
        lsinitrd "$1" >"$2" 2>/dev/null
        wanted="etc/conf.d/$name.conf$ bin/iscsiadm$ sbin/iscsiroot$"
        ;;
    mkinitcpio)
        lsinitcpio "$1" >"$2" 2>/dev/null
        wanted='bin/iscsistart$ '$name'(/hook|[.]service)?$'
        ;;
    esac
    for pattern in $wanted; do
        grep -qE "$pattern" "$2" || return 1
    done
    for module in iscsi_tcp iscsi_ibft; do
        grep -q "/${module}[.]ko" "$2" ||
            cat /lib/modules/*/modules.builtin 2>/dev/null | grep -q "/${module}[.]ko" || return 1
    done
}

# Older than a file that should be in it.
image_is_old() {
    for file in $(image_files); do
        [ -z "$(find "$file" -newer "$1" 2>/dev/null)" ] || return 0
    done
    return 1
}

make_images() {
    if [ $generator = ostree ]; then
        make_ostree_images
        return
    fi
    images >$state/work/images
    [ -s $state/work/images ] || {
        say "found no initramfs to renew below /boot and /efi" >&2
        return 1
    }
    while read -r image; do
        image_is_ready "$image" $state/work/list && ! image_is_old "$image" && continue
        say "making $image anew (this takes a while)"
        make_image "$image" || return
        image_is_ready "$image" $state/work/list && continue
        say "$image was made, but lacks what finds the disk" >&2
        return 1
    done <$state/work/images
}

make_image() {
    case $generator in
    initramfs-tools) update-initramfs -u -k "$(kernel_of "$1")" ;;
    dracut) dracut --force --quiet "$1" "$(kernel_of "$1")" ;;
    mkinitcpio) mkinitcpio -P ;;
    esac </dev/null
}

make_ostree_images() {
    if rpm-ostree initramfs | grep -qi enabled; then
        ostree_images_are_old || return 0
        word=enable
    else
        word=disable
    fi
    recorded ostree | grep -q . || record ostree $word
    # With an argument it also works where it is enabled already.
    rpm-ostree initramfs --enable --arg=--no-hostonly &&
        say "the new image is used from the next start on"
}

ostree_images_are_old() {
    for image in $(images); do
        image_is_old "$image" || return
    done
}

# Which images are still those that install made; asked before anything is changed.
list_untouched_images() {
    recorded image | while read -r sum image; do
        [ ! -e "$image" ] || { [ "$sum" != none ] && [ "$(sum_of "$image")" != "$sum" ]; } ||
            printf '%s\n' "$image"
    done >$state/work/untouched
}

# Those are put back as they were; all others, of newer kernels too, are made anew without us.
restore_images() {
    if [ $generator = ostree ]; then
        word=$(recorded ostree)
        [ -z "$word" ] || rpm-ostree initramfs "--$word"
        return
    fi
    images >$state/work/images
    while read -r image; do
        if grep -qxF -e "$image" $state/work/untouched; then
            cmp -s "$state/backup$image" "$image" || put_back "$image"
        elif image_is_ready "$image" $state/work/list; then
            say "making $image anew: it is not the one that install made"
            make_image "$image"
        fi
    done <$state/work/images
}

# --- install --------------------------------------------------------------------------------------

need_root() {
    [ "$(id -u)" = 0 ] || die "run it as root: ... | sudo sh"
}

# All that can be known to fail is found before anything is changed.
look_ahead() {
    find_generator
    find_manager
    for tool in sed grep cmp cp find sha256sum; do
        has $tool || die "the program $tool is missing"
    done
    [ $generator != mkinitcpio ] || [ -d /etc/mkinitcpio.conf.d ] ||
        die "this mkinitcpio reads no /etc/mkinitcpio.conf.d: it needs version 38 or later"
    if grep -qs '^NO_ISCSI_IN_INITRAMFS="*yes' /etc/initramfs-tools/conf.d/open-iscsi; then
        die "NO_ISCSI_IN_INITRAMFS=yes in /etc/initramfs-tools/conf.d/open-iscsi keeps iSCSI out of" \
            "the initramfs: remove that line first"
    fi
    [ -n "$(images)" ] || die "found no initramfs below /boot and /efi: is /boot mounted?"
    needed=0
    for image in $(images); do
        needed=$((needed + $(wc -c <"$image") / 1024))
    done
    free=$(df -Pk "$(dirname $state)" | awk 'NR == 2 { print $4 }')
    free=${free:-0}
    [ "$free" -gt $((needed + 20480)) ] ||
        die "$(dirname $state) has $((free / 1024)) MiB free; copies of the images need" \
            "$((needed / 1024 + 20)) MiB"
}

install_steps() {
    keep_images && list_untouched_images || return
    for file in $(all_files); do
        write_file "$file" || return
    done
    missing=$(missing_packages)
    if [ -n "$missing" ]; then
        installed_packages >$state/work/before
        # shellcheck disable=SC2086 # a list of names
        add_packages $missing </dev/null
        code=$?
        installed_packages >$state/work/after
        grep -vxF -f $state/work/before $state/work/after >$state/work/added
        # What rpm-ostree adds is there after the next start.
        [ $manager != rpm-ostree ] || printf '%s' "$missing" | tr ' ' '\n' >$state/work/added
        while read -r package; do
            record package "$package"
        done <$state/work/added
        [ $code = 0 ] || return $code
        # The packages bring units that were not there before.
        for file in $(all_files); do
            write_file "$file" || return
        done
    fi
    make_images && enable_service && note_images
}

install() {
    need_root
    look_ahead
    say "This system makes its initramfs with $generator."
    # A run that was cut short leaves its folder for work.
    again=
    [ ! -e $state/manifest ] || [ -e $state/work ] || again=yes
    mkdir -p $state/work || die "cannot write to $state"
    chmod 700 $state
    touch $state/manifest
    if ! install_steps; then
        if [ -n "$again" ]; then
            rm -rf $state/work
            die "A step failed. What an earlier install made stays. Mend what is said above and run" \
                "install again, or uninstall."
        fi
        say "A step failed. Everything is put back." >&2
        take_back
        exit 1
    fi
    say "Done: this disk boots in its own machine as before, and over iSCSI in another one."
    check_root_names $state/work/words || say "But see the notes above."
    rm -rf $state/work
}

# --- uninstall ------------------------------------------------------------------------------------

restore_files() {
    recorded new | while read -r file; do
        rm -f "$file"
    done
    recorded kept | while read -r file; do
        mkdir -p "$(dirname "$file")" && put_back "$file"
    done
}

take_back() {
    mkdir -p $state/work
    list_untouched_images
    recorded link | while read -r link; do
        rm -f "$link"
    done
    restore_files
    packages=$(recorded package | while read -r package; do
        ! is_installed "$package" && [ $manager != rpm-ostree ] || printf '%s ' "$package"
    done)
    if [ -n "$packages" ]; then
        # shellcheck disable=SC2086 # a list of names
        remove_packages $packages </dev/null || say "the packages stay: remove them by hand" >&2
    fi
    # Once more: a package may have taken its folder away with all that was in it.
    restore_files
    restore_images
    recorded dir | sed '1!G;h;$!d' | while read -r folder; do
        rmdir "$folder" 2>/dev/null
    done
    tell_system
    rm -rf $state
}

uninstall() {
    need_root
    find_generator
    find_manager
    [ -e $state/manifest ] || die "nothing to take back: $state/manifest is not there"
    ! booted_over_iscsi ||
        die "this system runs from the iSCSI disk right now: boot the disk in its own machine first"
    take_back
    say "Done: everything is as it was before install."
}

# --- check ----------------------------------------------------------------------------------------

good() {
    say "ok  $*"
}

bad() {
    say "NO  $*"
    verdict=1
}

# Another machine names its disks otherwise.
check_root_names() {
    found=0
    tr ' ' '\n' </proc/cmdline >"$1"
    while read -r word; do
        case $word in
        root=/dev/[shv]d[a-z]* | root=/dev/nvme*)
            say "note: the kernel line says $word, which is another name in another machine:" \
                "use root=UUID=... in the boot loader's configuration"
            found=1
            ;;
        esac
    done <"$1"
    while read -r device folder _; do
        case $device in
        /dev/[shv]d[a-z]* | /dev/nvme*)
            say "note: /etc/fstab mounts $folder from $device, which is another name in another" \
                "machine: use UUID=..."
            found=1
            ;;
        esac
    done </etc/fstab
    return $found
}

check_files() {
    mkdir -p "$work"
    for file in $(all_files); do
        contents_of "$file" >"$work/file"
        if [ ! -e "$file" ]; then
            bad "$file is missing"
        elif [ "$file" != /etc/kernel/cmdline ] && ! cmp -s "$work/file" "$file"; then
            bad "$file is not as install writes it"
        fi
    done
}

check_images() {
    if [ $generator = ostree ] && ! ostree_images_are_old; then
        good "an image of rpm-ostree's is newer than the files that belong into it"
        return
    fi
    for image in $(images); do
        if ! image_is_ready "$image" "$work/list"; then
            bad "$image lacks what finds the disk over iSCSI"
        elif image_is_old "$image"; then
            bad "$image is older than the files that belong into it"
        else
            good "$image finds the disk by the firmware's table"
        fi
    done
}

check_running() {
    if ! [ -e $ibft/initiator ]; then
        say "note: this start was not over iSCSI"
        return
    fi
    for session in $(session_of_boot); do
        good "running over iSCSI from $(cat "$session/targetname")"
        seconds=$(cat "$session/recovery_tmo")
        case $seconds in
        off | -1) good "the session waits for its server for ever" ;;
        *) bad "the session gives up after $seconds seconds without its server" ;;
        esac
    done
}

check() {
    need_root
    find_generator
    find_manager
    verdict=0
    work=$(mktemp -d) || die "cannot make a folder for temporary files"
    trap 'rm -rf "$work"' EXIT
    say "This system makes its initramfs with $generator."
    missing=$(missing_packages)
    if [ -z "$missing" ]; then good "the packages are installed"; else bad "missing packages: $missing"; fi
    check_files
    check_images
    check_running
    check_root_names "$work/words"
    if [ $verdict = 0 ]; then
        say "Prepared: this disk boots over iSCSI."
    else
        say "Not prepared: run install."
    fi
    return $verdict
}

# --- a further disk of a running system -----------------------------------------------------------

portal() {
    case $server in
    *:*) printf '[%s]:%s' "$server" "$port" ;;
    *) printf '%s:%s' "$server" "$port" ;;
    esac
}

node() {
    iscsiadm -m node -T "$iqn" -p "$(portal)" -I $name "$@"
}

set_node() {
    node -o update -n "$1" -v "$2" >/dev/null || die "iscsiadm does not take $1"
}

# iscsiadm takes values as arguments only, which everybody on this machine can read: a secret goes into
# the record itself, where the last line of a name counts.
set_node_secret() {
    records=$(grep -rlsFx "iface.iscsi_ifacename = $name" \
        "/etc/iscsi/nodes/$iqn" "/var/lib/iscsi/nodes/$iqn")
    [ -n "$records" ] || die "there is no record of $iqn in /etc/iscsi/nodes or /var/lib/iscsi/nodes"
    printf '%s\n' "$records" | while read -r record; do
        printf '%s = %s\n' "$1" "$2" >>"$record"
    done || die "the record of $iqn cannot be written"
}

# The name that the firmware of this machine would log in with.
initiator_name() {
    device=$(ip -o route get "$server" | sed -n 's/.* dev \([^ ]*\) .*/\1/p')
    mac=$(sed -n 's/:/-/g; /^..-..-..-..-..-..$/p' "/sys/class/net/${device:-none}/address" 2>/dev/null)
    case $initiator in
    *%m*) [ -n "$mac" ] || die "$server is reached through ${device:-nothing}, which has no MAC, and this" \
        "machine's initiator name is made of one: give it a name by clients.initiator" ;;
    esac
    printf '%s' "$initiator" | sed "s/%m/$mac/g"
}

connect() {
    need_root
    has iscsiadm || die "iscsiadm is missing: install the package open-iscsi (or iscsi-initiator-utils)"
    initiator=$(initiator_name) || exit 1
    iscsiadm -m iface -I $name -o show >/dev/null 2>&1 ||
        iscsiadm -m iface -I $name -o new >/dev/null || die "iscsiadm makes no interface record"
    iscsiadm -m iface -I $name -o update -n iface.initiatorname -v "$initiator" >/dev/null
    iscsiadm -m node -T "$iqn" -p "$(portal)" -I $name -o new >/dev/null || die "iscsiadm makes no record"
    set_node node.startup manual
    if [ -n "$chap_user" ]; then
        set_node node.session.auth.authmethod CHAP
        set_node node.session.auth.username "$chap_user"
        set_node_secret node.session.auth.password "$chap_secret"
    fi
    if [ -n "$chap_target_user" ]; then
        set_node node.session.auth.username_in "$chap_target_user"
        set_node_secret node.session.auth.password_in "$chap_target_secret"
    fi
    node --login || die "no login to $iqn at $(portal) as $initiator"
    say "Logged in. The disk is LUN $lun: /dev/disk/by-path/*-iscsi-$iqn-lun-$lun"
}

disconnect() {
    need_root
    has iscsiadm || die "iscsiadm is missing"
    node --logout
    node -o delete >/dev/null 2>&1
    iscsiadm -m iface -I $name -o delete >/dev/null 2>&1
    say "Logged out."
}

main() {
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
    case ${1-install} in
    install) install ;;
    check) check ;;
    uninstall) uninstall ;;
    connect) connect ;;
    disconnect) disconnect ;;
    *) die "unknown command '$1'; there are install, check, uninstall, connect and disconnect" ;;
    esac
}

# The last line, so that a script that was cut short on its way does nothing.
main "$@" </dev/null
