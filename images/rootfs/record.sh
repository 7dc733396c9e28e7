#!/bin/sh
# mmdebstrap's --extract-hook: $1 is the new root, $RECORD a directory that gets, for every package, its control fields
# (NAME.control) and its files (NAME.files). They become the SBOM and dpkg's records in the image.
set -eu
for deb in "$1"/var/cache/apt/archives/*.deb; do
    name=$(dpkg-deb --field "$deb" Package)
    dpkg-deb --field "$deb" >"$RECORD/$name.control"
    dpkg-deb --fsys-tarfile "$deb" | tar -t >"$RECORD/$name.files"
done
