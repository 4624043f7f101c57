# In vcpkg's own ports: vcpkg_from_github with REF "v${VERSION}" and its SHA512.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DMEMATTN_BUILD_TESTS=OFF
    -DMEMATTN_BUILD_EXAMPLES=OFF
    -DMEMATTN_INSTALL=ON
    "-DMEMATTN_HIGHWAY_INCLUDE_DIR=${CURRENT_INSTALLED_DIR}/include"
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/memattn)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
