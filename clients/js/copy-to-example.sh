#!/bin/sh
# Builds the package and copies it to examples/apollo, which works without the repository.
set -eu
cd "$(dirname "$0")"
target=../../examples/apollo/client
rm -rf "$target"
mkdir "$target"
file=$(npm pack --silent)
tar --extract --file "$file" --strip-components 1 --directory "$target"
rm "$file"
# npm would install the development dependencies of a package that is a folder.
npm pkg delete scripts devDependencies --prefix "$target"
