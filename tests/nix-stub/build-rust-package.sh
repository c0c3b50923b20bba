# shellcheck shell=bash disable=SC2154 # a build's variables are its derivation's attributes
# What nixpkgs' buildRustPackage does, as far as the flake asks for it.
set -euo pipefail

for input in $nativeBuildInputs; do
    PATH=$input/bin:$PATH
    # shellcheck source=/dev/null
    source "$input/nix-support/setup-hook"
done

# The crates that are built are those of the source's lock, and the flake may name another file.
cmp "$lockFile" "$src/Cargo.lock"

# Cargo's intermediate files are the checkout's, for nothing to be compiled twice, and what they are still good for cargo tells
# by the times of files. In a store all are of 1970, and anything would seem good. So a file has the checkout's time where
# it is the checkout's file, byte for byte, and is new otherwise; one that the flake does not name is missing, which cargo
# sees too.
cp -r "$src" source
chmod -R u+w source
cd source
find . -depth -print0 | while IFS= read -r -d '' file; do
    if [[ -d $file ]] || cmp -s "$file" "$checkout/$file"; then
        touch -r "$checkout/$file" "$file"
    fi
done

# The crates are where cargo's configuration in CARGO_HOME has them, unpacked by cargo or vendored: in a place of the build's own
# they would be other crates to cargo, and all be compiled again.
export CARGO_TARGET_DIR=$NIX_BUILD_TOP/target
cargo build --release --offline --locked

mkdir -p "$out/bin"
find "$CARGO_TARGET_DIR/release" -maxdepth 1 -type f -executable -exec cp -t "$out/bin" {} +
eval "$postInstall"
[[ -x $out/bin/$mainProgram ]]
