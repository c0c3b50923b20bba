{
  description = "skew: which versions of a distributed system work together, with evidence";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forAll = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      cargo = builtins.fromTOML (builtins.readFile ./Cargo.toml);
      manifest = cargo.package // cargo.workspace.package;

      skew =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          version = manifest.version;
          # Only what goes into the binary and into the libraries' tests: a change of a document builds nothing.
          src = lib.fileset.toSource {
            root = ./.;
            fileset = lib.fileset.unions (
              [
                ./Cargo.toml
                ./Cargo.lock
                ./src
                ./README.md
                # Cargo.toml names them, and cargo wants what it names.
                ./benches
                ./crates/skew-deploy/build.rs
                ./crates/skew-report/askama.toml
                # The demo carries its spec, its recipe and its history in the binary.
                ./examples/ledger
                ./images
                ./matrix
                # The libraries' tests read these.
                ./docs/reference
                ./crates/skew-spec/tests/spec_valid
              ]
              ++ lib.concatMap (crate: [
                (./crates + "/${crate}/Cargo.toml")
                (./crates + "/${crate}/src")
              ]) (builtins.attrNames (builtins.readDir ./crates))
            );
          };
          cargoLock.lockFile = ./Cargo.lock;
          nativeBuildInputs = [ pkgs.makeWrapper ];
          # What end-to-end tests need (git histories, compilers, a browser) is not in a build sandbox: .ci/run has it.
          cargoTestFlags = [
            "--workspace"
            "--lib"
          ];
          nativeCheckInputs = [ pkgs.git ];
          # git is the one program that skew cannot do without; the user's own comes first.
          # A binary of another platform cannot be asked for its own manual.
          postInstall = lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
            $out/bin/skew man --dir $out/share/man/man1
            mkdir -p $out/share/bash-completion/completions $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
            $out/bin/skew completions bash > $out/share/bash-completion/completions/skew
            $out/bin/skew completions zsh > $out/share/zsh/site-functions/_skew
            $out/bin/skew completions fish > $out/share/fish/vendor_completions.d/skew.fish
          '' + ''
            wrapProgram $out/bin/skew --suffix PATH : ${lib.makeBinPath [ pkgs.git ]}
          '';
          meta = {
            inherit (manifest) description;
            license = [
              lib.licenses.mit
              lib.licenses.asl20
            ];
            mainProgram = "skew";
            platforms = lib.platforms.unix;
          };
        };

      # The demo, with what it builds the ledger's versions with.
      demo =
        pkgs:
        pkgs.writeShellApplication {
          name = "skew-demo";
          runtimeInputs = [
            (skew pkgs)
            pkgs.git
            pkgs.rustc
            pkgs.stdenv.cc
          ];
          text = ''
            exec skew demo "$@"
          '';
        };

      # An image whose entrypoint is skew, for `skew submit --image`: it runs networks and builds none, so skew, its git
      # and what it knows registries by are all that is in it.
      image =
        pkgs:
        pkgs.dockerTools.buildLayeredImage {
          name = manifest.name;
          tag = manifest.version;
          contents = [ pkgs.dockerTools.caCertificates ];
          config = {
            Entrypoint = [ "${skew pkgs}/bin/skew" ];
            Env = [ "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt" ];
          };
        };

      # What the NixOS module makes of a small configuration. Only the options that it sets stand in for NixOS' own, so
      # that a check evaluates it in no time.
      nightly =
        pkgs:
        (lib.evalModules {
          specialArgs = {
            inherit pkgs;
            utils.escapeSystemdExecArgs = lib.concatMapStringsSep " " builtins.toJSON;
          };
          modules = [
            self.nixosModules.default
            {
              options = lib.genAttrs [ "systemd" "users" ] (
                _: lib.mkOption { type = lib.types.attrsOf lib.types.anything; }
              );
              config.services.skew = {
                enable = true;
                spec = "/etc/skew/skew.toml";
                environmentFile = "/run/secrets/skew";
                extraArgs = [
                  "--budget"
                  "5h"
                ];
              };
            }
          ];
        }).config.systemd;
    in
    {
      packages = forAll (
        pkgs:
        {
          default = skew pkgs;
        }
        # An image is Linux', wherever it is asked for.
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux { image = image pkgs; }
      );

      # nix run … -- sweep
      apps = forAll (
        pkgs:
        let
          app = program: description: {
            type = "app";
            inherit program;
            meta = { inherit description; };
          };
        in
        {
          default = app "${skew pkgs}/bin/skew" manifest.description;
          demo = app "${demo pkgs}/bin/skew-demo" "Sweep a small ledger whose history holds good and bad releases";
        }
      );

      checks = forAll (
        pkgs:
        {
          package = skew pkgs;
          demo = demo pkgs;
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          image = image pkgs;
          # The unit's command is one that skew takes, and the timer has a time.
          module =
            let
              units = nightly pkgs;
            in
            pkgs.runCommand "skew-nightly" { } ''
              ${units.services.skew-nightly.serviceConfig.ExecStart} --help > $out
              test -n ${lib.escapeShellArg units.timers.skew-nightly.timerConfig.OnCalendar}
            '';
        }
      );

      # `nix fmt`
      formatter = forAll (pkgs: pkgs.nixfmt-tree);

      # Everything that .ci/run uses, but for the Debian packages of Redis' and Valkey's sources.
      devShells = forAll (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (skew pkgs) ];
          packages = [
            pkgs.cargo-deny
            pkgs.cargo-nextest
            pkgs.clippy
            pkgs.git
            pkgs.python3
            pkgs.rustfmt
            pkgs.shellcheck
            pkgs.skopeo
            pkgs.umoci
          ];
        };
      });

      # `nix flake check` wants the second name, used or not.
      overlays.default = final: prev: {
        skew = skew final;
      };

      # A nightly sweep: docs/guides/nightly.md
      nixosModules.default = import ./nix/module.nix { packageFor = skew; };
    };
}
