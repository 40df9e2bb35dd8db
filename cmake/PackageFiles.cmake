# Runs on the files of the package before it is packed: manuals and the changelog are compressed, as
# Debian wants them (Policy §12.1, §12.7).
set(share ${CPACK_TEMPORARY_DIRECTORY}/ALL_COMPONENTS_IN_ONE${CPACK_PACKAGING_INSTALL_PREFIX}/share)
set(changelog ${share}/doc/${CPACK_PACKAGE_NAME}/changelog.Debian)
file(GLOB manuals ${share}/man/man*/*)
configure_file(${CPACK_NBT_CHANGELOG} ${changelog} @ONLY)
file(CHMOD ${changelog} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
execute_process(COMMAND gzip --force --best --no-name ${manuals} ${changelog}
                COMMAND_ERROR_IS_FATAL ANY)
