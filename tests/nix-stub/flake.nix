# A test's tool: it stands in for nixpkgs where that cannot be downloaded. Users get the nixpkgs of flake.lock.
#
# It has what the project's flake uses of nixpkgs, under the same names, and refuses what the real one would. As it is, every
# output of the flake evaluates (`nix flake check --no-build`). With what `check`, beside this file, says about the machine, it
# really builds: skew with the machine's own cargo, from the files that the flake names and from the crates that cargo
# already has; packages of programs are links to the machine's.
{
  description = "a stand-in for nixpkgs, for tests";

  outputs =
    { self }:
    let
      lib = import ./lib.nix;
      machine = import ./machine.nix;

      packagesFor =
        system:
        let
          build =
            name: environment: script:
            derivation (
              {
                inherit name system;
                builder = machine.shell;
                # A shell makes place for its last command where that is a program, and Nix kills a builder that closes its
                # output, as programs do just before they end: the last command is the shell's own.
                args = [ "-euc" "${script}\ntrue" ];
                PATH = machine.path;
              }
              // environment
            );

          # The machine's own programs.
          programs =
            name: names:
            build name { inherit names; } ''
              mkdir -p $out/bin
              for program in $names; do
                ln -s "$(type -P $program)" $out/bin/
              done
            '';

          onlyEvaluated =
            name: environment:
            build name environment ''
              echo "the stand-in for nixpkgs does not build ${name}" >&2
              false
            '';
        in
        {
          inherit lib system;

          rustPlatform.buildRustPackage =
            # Its tests are not run: they want paths of their own source, so they would be compiled here again, which takes
            # minutes, and .ci/run runs the same ones.
            { pname, version, src, cargoLock, nativeBuildInputs, postInstall, meta, cargoTestFlags, nativeCheckInputs }:
            build "${pname}-${version}" {
              inherit src nativeBuildInputs postInstall cargoTestFlags nativeCheckInputs;
              inherit (cargoLock) lockFile;
              inherit (meta) mainProgram;
              CARGO_HOME = machine.cargoHome;
              CARGO_BUILD_BUILD_DIR = machine.buildDir;
              inherit (machine) checkout;
            } (builtins.readFile ./build-rust-package.sh)
            // { inherit meta; };

          # In nixpkgs too it is a function that builds find in their shell.
          makeWrapper = build "make-wrapper" { hook = ./make-wrapper.sh; } ''
            mkdir -p $out/nix-support
            cp $hook $out/nix-support/setup-hook
          '';

          writeShellApplication =
            { name, runtimeInputs, text }:
            build name {
              script = ''
                #!${machine.shell}
                set -o errexit -o nounset -o pipefail
                export PATH="${lib.makeBinPath runtimeInputs}:$PATH"
                ${text}'';
              passAsFile = [ "script" ];
            } ''
              mkdir -p $out/bin
              install "$scriptPath" $out/bin/${name}
              shellcheck $out/bin/${name}
            '';

          runCommand = build;

          git = programs "git" [ "git" ];
          rustc = programs "rustc" [ "rustc" ];
          bash = programs "bash" [ "bash" "sh" ];
          stdenv = {
            cc = programs "cc" [ "cc" "as" "ld" ];
            buildPlatform.canExecute = _: true;
            hostPlatform.isLinux = builtins.match ".*-linux" system != null;
          };

          mkShell = { packages, inputsFrom }: onlyEvaluated "shell" { inherit packages inputsFrom; };
          dockerTools = {
            caCertificates = onlyEvaluated "ca-certificates" { };
            buildLayeredImage =
              { name, tag, contents, config }:
              onlyEvaluated "${name}.tar.gz" { inherit tag contents; config = builtins.toJSON config; };
          };
        }
        // lib.genAttrs [
          "cargo-deny" "cargo-nextest" "clippy" "nixfmt-tree" "python3" "rustfmt" "shellcheck" "skopeo" "umoci"
        ] (name: onlyEvaluated name { });
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] packagesFor;
    };
}
