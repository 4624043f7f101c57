# Common settings of all targets: dependencies, warnings, sanitizers.

# memattn_find_package(NAME VERSION DEBIAN_PACKAGE TARGET): find_package with a message that says
# what to install if it fails. If a parent project already has TARGET, it is used as it is.
macro(memattn_find_package name version debian_package target)
  if(NOT TARGET ${target})
    find_package(${name} ${version} QUIET)
    if(NOT ${name}_FOUND)
      message(FATAL_ERROR
              "memattn: ${name} ${version} or newer was not found. On Debian and Ubuntu: "
              "sudo apt-get install ${debian_package}\n"
              "If it is installed elsewhere, add its prefix to CMAKE_PREFIX_PATH.")
    endif()
  endif()
endmacro()

# memattn_options(TARGET): sets the project's private compile options.
function(memattn_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion)
  if(MEMATTN_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MEMATTN_SANITIZE)
    # With sanitizers, g++ falsely reports std::variant as uninitialized; valgrind checks for
    # uninitialized values in the release build.
    target_compile_options(${target} PRIVATE -fsanitize=${MEMATTN_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer
                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${target} PRIVATE -fsanitize=${MEMATTN_SANITIZE})
  endif()
endfunction()

# Unoptimised code cannot be fortified, and the sanitizers check more than fortification. A compiler
# that fortifies by default must not get the option again.
set(MEMATTN_HARDEN_OPTIONS -fstack-protector-strong)
include(CheckCXXCompilerFlag)
block()
  set(CMAKE_REQUIRED_FLAGS -Werror)  # on Arm, clang 14 only warns that it has no effect
  check_cxx_compiler_flag(-fstack-clash-protection MEMATTN_HAS_STACK_CLASH_PROTECTION)
endblock()
if(MEMATTN_HAS_STACK_CLASH_PROTECTION)
  list(APPEND MEMATTN_HARDEN_OPTIONS -fstack-clash-protection)
endif()
if(NOT MEMATTN_SANITIZE)
  set(optimized $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
  list(APPEND MEMATTN_HARDEN_OPTIONS $<${optimized}:-U_FORTIFY_SOURCE>
       $<${optimized}:-D_FORTIFY_SOURCE=3>)
endif()

# memattn_harden(TARGET): for code that reads untrusted files and computes little. A write past the
# end of a stack array, or of an array whose size the compiler knows, ends the process, and a stack
# that grows too far hits its guard page.
function(memattn_harden target)
  target_compile_options(${target} PRIVATE ${MEMATTN_HARDEN_OPTIONS})
endfunction()

# memattn_harden_link(TARGET): for the same target as a shared library or extension. The table of
# the functions that it calls is complete and read-only before any of its code runs.
function(memattn_harden_link target)
  target_link_options(${target} PRIVATE LINKER:-z,relro,-z,now,-z,noexecstack)
endfunction()

# memattn_module(NAME SOURCES...): compiles a folder of src/ as an object library, memattn_NAME. The
# library memattn consists of these modules; the test of a module links the modules that it names.
function(memattn_module name)
  add_library(memattn_${name} OBJECT ${ARGN})
  memattn_options(memattn_${name})
  target_include_directories(memattn_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src)
  # libFuzzer follows the branches of the readers; those of the kernels do not depend on a file.
  if(MEMATTN_BUILD_FUZZERS AND NOT name STREQUAL "kernels")
    target_compile_options(memattn_${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# memattn_kernel_options(TARGET): for code that Highway compiles once for each instruction set.
# MEMATTN_SKIP_ISAS names those to leave out.
function(memattn_kernel_options target)
  target_include_directories(${target} SYSTEM PRIVATE ${MEMATTN_HIGHWAY_INCLUDE_DIR})
  set(targets ${MEMATTN_SKIP_ISAS})
  if(targets)
    list(TRANSFORM targets REPLACE scalar EMU128)
    list(TRANSFORM targets TOUPPER)
    list(TRANSFORM targets PREPEND HWY_)
    list(JOIN targets "|" targets)
    target_compile_definitions(${target} PRIVATE "MEMATTN_SKIP_TARGETS=(${targets})")
  endif()
endfunction()

# memattn_test_options(TARGET OPTION...): the flags of every test program. Programs with the same
# flags share a precompiled header.
function(memattn_test_options target)
  memattn_options(${target})
  target_compile_options(${target} PRIVATE ${ARGN})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests/cpp)
  target_compile_definitions(${target} PRIVATE
                             MEMATTN_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
endfunction()

# memattn_test(MODULE NAME LIBRARIES...): builds the caller's NAME.cc as a GoogleTest program.
function(memattn_test module name)
  memattn_add_test(${module} ${name} memattn_test_headers ${ARGN} GTest::gtest_main)
endfunction()

# memattn_isa_test(MODULE NAME LIBRARIES...): the same, run on each instruction set of the machine.
function(memattn_isa_test module name)
  memattn_add_test(${module} ${name} memattn_isa_test_headers ${ARGN} memattn_isa_main)
  set_tests_properties(${module}.${name} PROPERTIES COST 1)  # the longest tests start first
endfunction()

# memattn_test_headers_program(NAME OPTION...): a program that only holds the headers of the tests,
# precompiled with these flags.
function(memattn_test_headers_program name)
  add_executable(${name} EXCLUDE_FROM_ALL testing/headers_main.cc)
  memattn_test_options(${name} ${ARGN})
  set_target_properties(${name} PROPERTIES MEMATTN_OPTIONS "${ARGN}")
  target_link_libraries(${name} PRIVATE GTest::gtest)
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <algorithm> <filesystem> <functional>
                            <random> <thread>)
endfunction()

function(memattn_add_test module name headers)
  set(target ${module}_${name})
  add_executable(${target} ${name}.cc)
  get_target_property(options ${headers} MEMATTN_OPTIONS)
  memattn_test_options(${target} ${options})
  target_link_libraries(${target} PRIVATE ${ARGN} memattn_reference)
  target_precompile_headers(${target} REUSE_FROM ${headers})
  add_test(NAME ${module}.${name} COMMAND ${target})
endfunction()
