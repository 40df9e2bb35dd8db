# nbt_room(NAME SEES other rooms…): one library per room, compiled against a directory of
# links to its own public headers and those of the rooms named, and to nothing else of ours.
# A room's public face is include/netboot-target/NAME.h or the folder include/netboot-target/NAME/.

function(nbt_link_headers directory)
  file(MAKE_DIRECTORY ${directory}/netboot-target)
  foreach(room ${ARGN})
    foreach(face ${room}.h ${room})
      if(EXISTS ${CMAKE_SOURCE_DIR}/include/netboot-target/${face})
        file(CREATE_LINK ${CMAKE_SOURCE_DIR}/include/netboot-target/${face}
             ${directory}/netboot-target/${face} SYMBOLIC)
      endif()
    endforeach()
  endforeach()
endfunction()

function(nbt_room name)
  cmake_parse_arguments(ROOM "" "" "SEES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  if(NOT sources)
    add_library(nbt_${name} INTERFACE) # a room that is still empty
    return()
  endif()
  set(view ${CMAKE_BINARY_DIR}/rooms/${name})
  file(REMOVE_RECURSE ${view})
  nbt_link_headers(${view} ${name} ${ROOM_SEES})
  add_library(nbt_${name} STATIC ${sources})
  target_include_directories(nbt_${name} PRIVATE ${view})
  target_link_libraries(nbt_${name} PUBLIC nbt_flags)
  foreach(seen ${ROOM_SEES})
    target_link_libraries(nbt_${name} PUBLIC nbt_${seen})
  endforeach()
endfunction()

function(nbt_program name source)
  cmake_parse_arguments(PROGRAM "" "" "ROOMS" ${ARGN})
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/${source})
    return()
  endif()
  set(view ${CMAKE_BINARY_DIR}/rooms/program-${name})
  file(REMOVE_RECURSE ${view})
  nbt_link_headers(${view} ${PROGRAM_ROOMS} util)
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE ${view})
  target_link_libraries(${name} PRIVATE nbt_flags)
  foreach(room ${PROGRAM_ROOMS})
    target_link_libraries(${name} PRIVATE nbt_${room})
  endforeach()
endfunction()

# nbt_room_embeds(NAME files…): files below src/NAME that become part of the program. setup/linux.sh of
# room boot is the array boot_setup_linux_sh, with its length in boot_setup_linux_sh_bytes.
function(nbt_room_embeds name)
  foreach(file ${ARGN})
    string(REGEX REPLACE "[^A-Za-z0-9]" "_" symbol ${name}_${file})
    set(output ${CMAKE_BINARY_DIR}/embedded/${symbol}.c)
    add_custom_command(
      OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -DFILE=${CMAKE_SOURCE_DIR}/src/${name}/${file} -DSYMBOL=${symbol}
              -DOUTPUT=${output} -P ${CMAKE_SOURCE_DIR}/cmake/EmbedFile.cmake
      DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/${file} ${CMAKE_SOURCE_DIR}/cmake/EmbedFile.cmake
      VERBATIM)
    target_sources(nbt_${name} PRIVATE ${output})
  endforeach()
endfunction()

# nbt_room_uses(NAME libraries…): the outside libraries a room is built with.
function(nbt_room_uses name)
  get_target_property(type nbt_${name} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    target_link_libraries(nbt_${name} INTERFACE ${ARGN})
  else()
    target_link_libraries(nbt_${name} PUBLIC ${ARGN})
  endif()
endfunction()
