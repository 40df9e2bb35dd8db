if(TARGET netboot-target)
  install(TARGETS netboot-target RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
endif()
