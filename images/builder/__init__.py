"""Builds Botdock's images from packages: each layer is prepared as a file, and `docker buildx bake` combines them.

No command runs in a build container. Package roots, dependencies and bytecode are prepared on this machine, in the same
way for every platform, so that the build needs no emulation and no network and its result depends only on its inputs.
"""
