# Completion of netboot-target(8). The options are those that the program itself names in --help.
_netboot_target()
{
    local cur prev words cword split
    _init_completion -s || return

    case $prev in
        -c | --config)
            _filedir conf
            return
            ;;
        --export)
            local tag
            COMPREPLY=($(compgen -W "$(
                lsblk --noheadings --nodeps --paths --output NAME 2>/dev/null
                for tag in UUID= LABEL= PARTUUID= PARTLABEL=; do echo "$tag"; done)" -- "$cur"))
            [[ $cur == */* ]] && _filedir
            return
            ;;
        --log-level)
            COMPREPLY=($(compgen -W "error warning notice info debug" -- "$cur"))
            return
            ;;
        --help)
            $split && COMPREPLY=($(compgen -W "config" -- "$cur"))
            return
            ;;
    esac
    $split && return
    COMPREPLY=($(compgen -W "$(_parse_help "$1" --help)" -- "$cur"))
} && complete -F _netboot_target netboot-target
