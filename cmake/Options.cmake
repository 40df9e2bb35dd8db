# Flags every target of this project is built with. Presets choose the kind of build.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(NBT_SANITIZE "" CACHE STRING "Sanitizers: address,undefined | thread | memory | empty")
option(NBT_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(NBT_COVERAGE "Instrument for llvm-cov (needs clang)" OFF)

add_library(nbt_flags INTERFACE)
target_compile_definitions(nbt_flags INTERFACE _GNU_SOURCE NBT_VERSION="${PROJECT_VERSION}"
                           NBT_LIBEXEC_DIR="${CMAKE_INSTALL_LIBEXECDIR}/netboot-target")
target_compile_options(
  nbt_flags
  INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
            -Wformat=2 -Werror=format-security -Wvla -Wundef -Wpointer-arith -Wwrite-strings
            -Werror -fno-common -fstack-protector-strong)

if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(nbt_flags INTERFACE -D_FORTIFY_SOURCE=2 -fPIE
                         -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
  target_link_options(nbt_flags INTERFACE -pie -Wl,-z,relro,-z,now)
endif()

if(NBT_SANITIZE)
  target_compile_options(nbt_flags INTERFACE -fsanitize=${NBT_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
  target_link_options(nbt_flags INTERFACE -fsanitize=${NBT_SANITIZE})
endif()

if(NBT_FUZZ)
  target_compile_options(nbt_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(NBT_COVERAGE)
  target_compile_options(nbt_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(nbt_flags INTERFACE -fprofile-instr-generate)
endif()
