# cmake --install: the daemon, its unit and user, its configuration and its manual.
if(NOT TARGET netboot-target)
  return()
endif()

set(NBT_SYSTEMD_UNIT_DIR lib/systemd/system CACHE STRING "Where units go, below the prefix")
set(NBT_SYSUSERS_DIR lib/sysusers.d CACHE STRING "Where sysusers.d files go, below the prefix")

configure_file(systemd/netboot-target.service ${CMAKE_BINARY_DIR}/netboot-target.service @ONLY)

install(TARGETS netboot-target RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(FILES ${CMAKE_BINARY_DIR}/netboot-target.service DESTINATION ${NBT_SYSTEMD_UNIT_DIR})
install(FILES systemd/netboot-target.sysusers DESTINATION ${NBT_SYSUSERS_DIR}
        RENAME netboot-target.conf)
install(FILES conf/netboot.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docs/man/netboot-target.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES docs/man/netboot.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
