# cmake --install: the daemon, its unit and user, its configuration and its manual, and what lets the
# rest of the system know it.
if(NOT TARGET netboot-target)
  return()
endif()

set(NBT_SYSTEMD_UNIT_DIR lib/systemd/system CACHE STRING "Where units go, below the prefix")
set(NBT_SYSUSERS_DIR lib/sysusers.d CACHE STRING "Where sysusers.d files go, below the prefix")
set(NBT_COMPLETION_DIR ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    CACHE STRING "Where bash looks for completions, below the prefix")
set(NBT_FIREWALLD_DIR lib/firewalld/services CACHE STRING "Where firewalld's services go, below the prefix")
set(NBT_POLKIT_DIR ${CMAKE_INSTALL_DATADIR}/polkit-1/rules.d
    CACHE STRING "Where polkit's rules go, below the prefix")

install(TARGETS netboot-target RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS netboot-target-discover
        RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/netboot-target)

# The unit names the program. Its path is known only now: --prefix, or a package, may change it.
install(CODE "set(NBT_SBINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_SBINDIR}\")
  configure_file(\"${CMAKE_SOURCE_DIR}/systemd/netboot-target.service\"
                 \"${CMAKE_BINARY_DIR}/netboot-target.service\" @ONLY)")
install(FILES ${CMAKE_BINARY_DIR}/netboot-target.service DESTINATION ${NBT_SYSTEMD_UNIT_DIR})
install(FILES systemd/netboot-target.sysusers DESTINATION ${NBT_SYSUSERS_DIR}
        RENAME netboot-target.conf)
install(FILES packaging/netboot-target.bash DESTINATION ${NBT_COMPLETION_DIR})
install(FILES packaging/netboot-target.xml DESTINATION ${NBT_FIREWALLD_DIR})
install(FILES packaging/netboot-target.rules DESTINATION ${NBT_POLKIT_DIR})
install(FILES docs/man/netboot-target.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES docs/man/netboot.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES conf/netboot.conf docs/classroom.md docs/faults.md docs/menu.md docs/security.md docs/status.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/os DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")

include(Package)
