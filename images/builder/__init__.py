"""Builds Botdock's images from packages: each layer is prepared as a file, `docker buildx bake` puts them together.

Nothing runs in a build container. Package roots, dependencies and bytecode are prepared on this machine, for every
platform alike, so that no emulation and no network is needed in the build and the result depends on nothing but its
inputs.
"""
