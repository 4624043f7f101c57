# How every target of the project is found and compiled: dependencies, warnings, sanitizers.

# memattn_find_package(NAME VERSION DEBIAN_PACKAGE TARGET): find_package that, on failure, says what
# to install. A parent project that already has TARGET is taken at its word.
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

# memattn_options(TARGET): the project's own flags; never visible to a user of the library.
function(memattn_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion)
  if(MEMATTN_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MEMATTN_SANITIZE)
    # What the sanitizers insert makes g++ take std::variant for uninitialized; valgrind looks for
    # such values in the release build.
    target_compile_options(${target} PRIVATE -fsanitize=${MEMATTN_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer
                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(${target} PRIVATE -fsanitize=${MEMATTN_SANITIZE})
  endif()
endfunction()

# Unoptimised code cannot be fortified, and the sanitizers check more than this does. A compiler that
# fortifies by itself must not be told twice.
set(MEMATTN_HARDEN_OPTIONS -fstack-protector-strong)
include(CheckCXXCompilerFlag)
block()
  set(CMAKE_REQUIRED_FLAGS -Werror)  # clang 14 only warns that it does nothing on Arm
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

# memattn_harden(TARGET): for code that reads what strangers wrote, and computes little: a write
# beyond an array on the stack, or beyond one whose size is known when it is made, ends the process,
# and a stack that grows too far meets its guard page.
function(memattn_harden target)
  target_compile_options(${target} PRIVATE ${MEMATTN_HARDEN_OPTIONS})
endfunction()

# memattn_harden_link(TARGET): the same target as a shared library or extension: the table of
# functions that it calls is complete, and read-only, before any of its code runs.
function(memattn_harden_link target)
  target_link_options(${target} PRIVATE LINKER:-z,relro,-z,now,-z,noexecstack)
endfunction()

# memattn_module(NAME SOURCES...): one folder of src/ as an object library, memattn_NAME. The modules
# are joined into the library memattn; a module's test links the modules that it names.
function(memattn_module name)
  add_library(memattn_${name} OBJECT ${ARGN})
  memattn_options(memattn_${name})
  target_include_directories(memattn_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src)
endfunction()

# memattn_test_options(TARGET): the flags of every test program, the same for all of them, since they
# share one precompiled header. The tests themselves are optimised little, which compiles faster; the
# library that they link is the optimised one.
function(memattn_test_options target)
  memattn_options(${target})
  # At -O1, g++ 12 warns of the buffer inside std::string, which it misreads (GCC bug 105329).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(misread -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow)
  endif()
  target_compile_options(${target} PRIVATE "$<$<CONFIG:Release>:-O1;${misread}>")
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests/cpp)
  target_compile_definitions(${target} PRIVATE
                             MEMATTN_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
endfunction()

# memattn_test(MODULE NAME LIBRARIES...): NAME.cc beside the caller as a GoogleTest program.
function(memattn_test module name)
  memattn_add_test(${module} ${name} ${ARGN} GTest::gtest_main)
endfunction()

# memattn_isa_test(MODULE NAME LIBRARIES...): the same, run on each instruction set of the machine.
function(memattn_isa_test module name)
  memattn_add_test(${module} ${name} ${ARGN} memattn_isa_main)
  set_tests_properties(${module}.${name} PROPERTIES COST 1)  # these are the longest: they start first
endfunction()

function(memattn_add_test module name)
  set(target ${module}_${name})
  add_executable(${target} ${name}.cc)
  memattn_test_options(${target})
  target_link_libraries(${target} PRIVATE ${ARGN})
  target_precompile_headers(${target} REUSE_FROM memattn_test_headers)
  add_test(NAME ${module}.${name} COMMAND ${target})
endfunction()
