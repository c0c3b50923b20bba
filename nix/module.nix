# The NixOS module: a systemd timer that sweeps every night. docs/guides/nightly.md shows how it is used;
# docs/flows/skew-nightly.service is the same for other systems.
{ packageFor }:
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  cfg = config.services.skew;
  inherit (lib) mkOption types;
in
{
  options.services.skew = {
    enable = lib.mkEnableOption "a nightly sweep: which versions of a distributed system work together";

    package = mkOption {
      type = types.package;
      default = packageFor pkgs;
      defaultText = "the flake's own package";
      description = "Which skew.";
    };

    spec = mkOption {
      type = types.either types.path types.str;
      example = "./skew.toml";
      description = ''
        The spec. A path of a flake is copied to the store alone: where the spec names other files, such as recipes, write
        `"''${./.}/skew.toml"`. Its repositories are URLs, or directories that the user `skew` may read.
      '';
    };

    schedule = mkOption {
      type = types.str;
      default = "*-*-* 02:17:00";
      description = "When, as systemd's `OnCalendar` has it. A night that was missed is made up for.";
    };

    stateDir = mkOption {
      type = types.str;
      default = "/var/lib/skew";
      description = "Where the store, images, caches and logs are.";
    };

    reportDir = mkOption {
      type = types.str;
      default = "${cfg.stateDir}/report";
      defaultText = "report in stateDir";
      description = "Where the report is; everybody may read it, if they may enter the directory above it.";
    };

    environmentFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/run/secrets/skew";
      description = ''
        Credentials and overrides, a line each and outside of the store: `DOCKER_CONFIG=/run/secrets/docker`,
        `SKEW_REGISTRY__URL=registry.example.org/team`. Only root has to be able to read it.
      '';
    };

    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = "[ pkgs.go ]";
      description = "What builds the system, and what its nodes need on their `PATH`.";
    };

    groups = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "docker" ];
      description = "Groups that the user `skew` is in too: `docker` for `--backend docker`.";
    };

    extraArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [
        "--budget"
        "5h"
        "--evidence"
        "oci://registry.example.org/team/evidence:nightly"
      ];
      description = "More arguments of `skew sweep`.";
    };
  };

  config = lib.mkIf cfg.enable {
    users.users.skew = {
      isSystemUser = true;
      group = "skew";
      extraGroups = cfg.groups;
      home = cfg.stateDir;
    };
    users.groups.skew = { };

    systemd.tmpfiles.rules = [
      "d '${cfg.stateDir}' 0755 skew skew -"
      "d '${cfg.reportDir}' 0755 skew skew -"
    ];

    systemd.timers.skew-nightly = {
      description = "Which versions work together: every night";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = cfg.schedule;
        RandomizedDelaySec = "15min";
        Persistent = true;
      };
    };

    systemd.services.skew-nightly = {
      description = "Which versions work together: tonight's sweep";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      # A new configuration does not end the night that runs.
      restartIfChanged = false;
      # A command recipe finds its shell here.
      path = [ pkgs.bash ] ++ cfg.packages;
      environment = {
        HOME = cfg.stateDir;
        XDG_RUNTIME_DIR = "/run/skew";
      };
      serviceConfig = {
        Type = "oneshot";
        User = "skew";
        Group = "skew";
        # An unexpected verdict is exit status 1, and so the unit has failed: `onFailure` tells you.
        ExecStart = utils.escapeSystemdExecArgs (
          [
            "${cfg.package}/bin/skew"
            "sweep"
            "${cfg.spec}"
            "--state"
            "${cfg.stateDir}/state"
            "--report"
            cfg.reportDir
          ]
          ++ cfg.extraArgs
        );
        WorkingDirectory = cfg.stateDir;
        RuntimeDirectory = "skew";
        RuntimeDirectoryMode = "0700";

        # The first signal lets running networks end; the same command goes on tomorrow where it stopped.
        KillMode = "mixed";
        KillSignal = "SIGINT";
        TimeoutStopSec = "10min";
        Nice = 10;

        ReadWritePaths = [
          cfg.stateDir
          cfg.reportDir
        ];
        CapabilityBoundingSet = "";
        LockPersonality = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectSystem = "strict";
        RestrictAddressFamilies = [
          "AF_UNIX"
          "AF_INET"
          "AF_INET6"
          "AF_NETLINK"
        ];
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
      }
      // lib.optionalAttrs (cfg.environmentFile != null) { EnvironmentFile = cfg.environmentFile; };
    };
  };
}
