# What the project's flake and its module use of nixpkgs' lib.
let
  genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
  concatMapStringsSep = separator: f: list: builtins.concatStringsSep separator (map f list);

  # What two modules say of one thing: sets become one set, lists one list, and otherwise only one may say it.
  merged =
    path: one: other:
    if builtins.isAttrs one && builtins.isAttrs other then
      builtins.mapAttrs (
        name: value: if one ? ${name} && other ? ${name} then merged "${path}.${name}" one.${name} other.${name} else value
      ) (one // other)
    else if builtins.isList one && builtins.isList other then
      one ++ other
    else
      throw "${path} is set twice";

  isOption = value: builtins.isAttrs value && value._type or "" == "option";
  isIf = value: builtins.isAttrs value && value._type or "" == "if";

  # An option's value, or the values below a set of options.
  valueOf =
    path: option: set:
    if isOption option then
      let
        value = if set != null then set.value else option.default or (throw "${path} is not set");
      in
      if option.type.check value then value else throw "${path} is no ${option.type.name}"
    else
      let
        unknown = if set == null then { } else removeAttrs set.value (builtins.attrNames option);
      in
      if unknown != { } then
        throw "there is no option ${path}.${builtins.head (builtins.attrNames unknown)}"
      else
        builtins.mapAttrs (
          name: below:
          valueOf "${path}.${name}" below (
            if set != null && set.value ? ${name} then { value = set.value.${name}; } else null
          )
        ) option;

  type = name: check: { inherit name check; };
in
{
  inherit (builtins) concatMap;
  inherit concatMapStringsSep genAttrs;

  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";

  fileset = {
    # As in the real one, the source has what the flake names and nothing else, and all of that must exist.
    toSource =
      { root, fileset }:
      let
        begins = start: path: builtins.substring 0 (builtins.stringLength start) path == start;
        isNamed = path: name: path == name || begins "${name}/" path || begins "${path}/" name;
      in
      assert builtins.all builtins.pathExists fileset;
      builtins.path {
        name = "source";
        path = root;
        filter = path: _: builtins.any (name: isNamed path (toString name)) fileset;
      };
    unions = paths: builtins.filter (path: path != null) paths;
    maybeMissing = path: if builtins.pathExists path then path else null;
  };

  licenses = {
    mit = { spdxId = "MIT"; };
    asl20 = { spdxId = "Apache-2.0"; };
  };
  platforms.unix = [ ];

  types = rec {
    anything = type "anything" (_: true);
    bool = type "boolean" builtins.isBool;
    str = type "string" builtins.isString;
    path = type "path" (value: builtins.isPath value || (builtins.isString value && builtins.match "/.*" value != null));
    package = type "package" (value: value.type or "" == "derivation");
    nullOr = of: type "null or ${of.name}" (value: value == null || of.check value);
    either = one: other: type "${one.name} or ${other.name}" (value: one.check value || other.check value);
    listOf = of: type "list of ${of.name}" (value: builtins.isList value && builtins.all of.check value);
    attrsOf =
      of: type "set of ${of.name}" (value: builtins.isAttrs value && builtins.all of.check (builtins.attrValues value));
  };
  mkOption = option@{ type, default ? null, defaultText ? null, example ? null, description ? null }: option // { _type = "option"; };
  mkEnableOption =
    name: { _type = "option"; type = type "boolean" builtins.isBool; default = false; description = "Whether to enable ${name}."; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };

  # Conditions see what is set without any: the real one finds a fixed point of all.
  evalModules =
    { specialArgs, modules }:
    let
      arguments = specialArgs // { config = evaluated plain; lib = import ./lib.nix; };
      called = map (module: if builtins.isFunction module then module arguments else module) modules;
      options = builtins.foldl' (merged "options") { } (map (module: module.options or { }) called);
      said = map (module: module.config or { }) called;
      plain = builtins.filter (config: !isIf config) said;
      met = map (config: config.content) (builtins.filter (config: isIf config && config.condition) said);
      evaluated = configs: valueOf "config" options { value = builtins.foldl' (merged "config") { } configs; };
    in
    { inherit options; config = evaluated (plain ++ met); };
}
