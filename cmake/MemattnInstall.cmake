# Installs the library, its headers, and the files for find_package and pkg-config. All paths in
# them are relative, so that the installed tree can be moved.
include(CMakePackageConfigHelpers)

set(MEMATTN_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/memattn)

install(TARGETS memattn EXPORT memattnTargets COMPONENT memattn
        LIBRARY NAMELINK_COMPONENT memattn)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/memattn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT memattn FILES_MATCHING PATTERN "*.h")

install(EXPORT memattnTargets NAMESPACE memattn:: DESTINATION ${MEMATTN_CMAKE_DIR}
        COMPONENT memattn)
configure_package_config_file(cmake/memattnConfig.cmake.in memattnConfig.cmake
                              INSTALL_DESTINATION ${MEMATTN_CMAKE_DIR})
# Before 1.0 a new minor version may change the interface; from 1.0 on, use SameMajorVersion.
write_basic_package_version_file(memattnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/memattnConfig.cmake
              ${PROJECT_BINARY_DIR}/memattnConfigVersion.cmake
        DESTINATION ${MEMATTN_CMAKE_DIR} COMPONENT memattn)

# pkg-config provides the folder of memattn.pc as ${pcfiledir}, from which the prefix follows.
file(RELATIVE_PATH MEMATTN_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
     ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH MEMATTN_PC_LIBDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH MEMATTN_PC_INCLUDEDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/memattn.pc.in memattn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/memattn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT memattn)
