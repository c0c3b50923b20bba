# shellcheck shell=bash
# What nixpkgs' wrapProgram does, as far as the flake asks for it: a script in the program's place, which sets a variable.

wrapProgram() { # PROGRAM --suffix VARIABLE SEPARATOR VALUE
    local program=$1 option=$2 variable=$3 separator=$4 value=$5 hidden
    [[ $# == 5 && $option == --suffix ]] || { echo "wrapProgram: the stand-in knows only one --suffix" >&2; return 1; }
    hidden=${program%/*}/.${program##*/}-wrapped
    mv "$program" "$hidden"
    cat >"$program" <<EOF
#!$BASH -e
export $variable="\${$variable:+\$$variable$separator}$value"
exec -a "\$0" "$hidden" "\$@"
EOF
    chmod +x "$program"
}
