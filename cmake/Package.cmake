# cpack -G DEB: everything that cmake --install puts somewhere, and what only a package may bring: the
# configuration in /etc, which dpkg keeps as its user left it. See packaging/ for the scripts.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ${PROJECT_NAME})
set(CPACK_PACKAGE_VENDOR "the netboot-target authors")
set(CPACK_PACKAGE_CONTACT "netboot-target maintainers <netboot-target@localhost.localdomain>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "boot a machine's disk on any other machine over a cable")
set(CPACK_PACKAGE_DESCRIPTION
    "One daemon that serves raw disks by iSCSI and boots machines from them: it
answers as DHCP or ProxyDHCP server, serves iPXE by TFTP and HTTP, and tells
where a boot stopped and why. Nothing is installed or changed on the disk.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)

# One package of all components. "package" is no part of a plain cmake --install.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_COMPONENTS_ALL Unspecified package)
install(FILES conf/netboot.conf DESTINATION /etc COMPONENT package EXCLUDE_FROM_ALL)
install(FILES packaging/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${PROJECT_NAME}
        COMPONENT package EXCLUDE_FROM_ALL)
install(FILES packaging/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
        RENAME ${PROJECT_NAME} COMPONENT package EXCLUDE_FROM_ALL)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
# ipxe: the loaders that machines are given. grub-common: grub-fstest looks into disks.
# polkitd: without it logind lets no service keep the machine awake.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ipxe, grub-common, polkitd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bash-completion")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/packaging/conffiles ${CMAKE_SOURCE_DIR}/packaging/postinst
    ${CMAKE_SOURCE_DIR}/packaging/prerm ${CMAKE_SOURCE_DIR}/packaging/postrm)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/PackageFiles.cmake)
set(CPACK_NBT_CHANGELOG ${CMAKE_SOURCE_DIR}/packaging/changelog.in)
include(CPack)
