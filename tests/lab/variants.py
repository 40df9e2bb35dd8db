"""The kinds of Debian guest: which packages they have, and how their kernel finds the root."""

ROOT_LABEL = "labroot"

COMMON_PACKAGES = ["linux-image-amd64", "open-iscsi", "e2fsprogs", "systemd-sysv", "udev", "dbus",
                   "iproute2", "kmod"]
# What the kernel line says so that the root is found on the disk that the firmware booted from.
VARIANTS = {
    "initramfs-tools": {
        "packages": ["initramfs-tools"],
        "kernel_line": f"root=LABEL={ROOT_LABEL} iscsi_auto"},
    "dracut": {
        # isc-dhcp-client, arping and pgrep: dracut's network-legacy; gawk: ip=ibft needs awk's and().
        "packages": ["dracut", "dracut-network", "isc-dhcp-client", "iputils-arping", "procps",
                     "gawk"],
        "kernel_line": f"root=LABEL={ROOT_LABEL} rd.iscsi.firmware=1 rd.neednet=1 ip=ibft"},
    # A machine that serves: everything that the package netboot-target needs and recommends, but not
    # the package itself, and what tests look at it with.
    "service": {
        "packages": ["initramfs-tools", "libconfig9", "libev4", "libisal2", "libjansson4",
                     "libmicrohttpd12", "libmnl0", "libssl3", "liburing2", "libarchive13", "ipxe",
                     "grub-common", "polkitd", "curl", "strace"],
        "kernel_line": f"root=LABEL={ROOT_LABEL}"}}
