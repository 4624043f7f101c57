# The SBOM (CycloneDX) of the Python extension: the compiled-in components and their versions. A
# wheel carries it in its dist-info/sboms, following PEP 770.
if(SKBUILD_METADATA_DIR)
  # json_component(NAME VERSION LICENSE): appends a component to `components` and `references`.
  set(components "")
  set(references "")
  function(json_component name version license)
    set(purl "pkg:generic/${name}@${version}")
    set(components "${components},
    {
      \"type\": \"library\",
      \"bom-ref\": \"${purl}\",
      \"name\": \"${name}\",
      \"version\": \"${version}\",
      \"purl\": \"${purl}\",
      \"licenses\": [{\"expression\": \"${license}\"}]
    }" PARENT_SCOPE)
    set(references "${references}, \"${purl}\"" PARENT_SCOPE)
  endfunction()

  json_component(highway "${MEMATTN_HIGHWAY_VERSION}" "Apache-2.0 OR BSD-3-Clause")
  json_component(nlohmann-json "${MEMATTN_JSON_VERSION}" "MIT")
  json_component(nanobind "${nanobind_VERSION}" "BSD-3-Clause")
  if(MEMATTN_GLIBC_STUBS)
    json_component(libstdc++ "${CMAKE_CXX_COMPILER_VERSION}"
                   "GPL-3.0-or-later WITH GCC-exception-3.1")
  endif()
  string(REGEX REPLACE "^,\n" "" MEMATTN_SBOM_COMPONENTS "${components}")
  string(REGEX REPLACE "^, " "" MEMATTN_SBOM_REFERENCES "${references}")
  configure_file(${PROJECT_SOURCE_DIR}/cmake/memattn.cdx.json.in memattn.cdx.json @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/memattn.cdx.json
          DESTINATION ${SKBUILD_METADATA_DIR}/sboms COMPONENT python)
endif()
