# Completes `./run questmill ...` of this clone, and an alias or function called questmill.
_questmill_ask() { # the number of the word after "questmill"
    local line=questmill word reply=() first=$1
    for word in "${COMP_WORDS[@]:first:COMP_CWORD-first+1}"; do line+=" $word"; done
    mapfile -t reply < <(_QUESTMILL_COMPLETE="$line" @RUN@ questmill 2>/dev/null)
    COMPREPLY=()
    for word in "${reply[@]}"; do
        [ -z "$word" ] || COMPREPLY+=("${word%%$'\t'*}")
    done
}
_questmill() { _questmill_ask 1; }
_questmill_run() {
    # Other projects have a script called run too.
    [ "${COMP_WORDS[0]}" -ef @RUN@ ] || return 0
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "demo up worker backup restore keys db questmill benchmarks test test-browser test-alerts test-manifests test-train test-hostile test-docs test-containers supply faults bench train masks lint reference lock" -- "${COMP_WORDS[1]}")
    elif [ "${COMP_WORDS[1]}" = questmill ]; then
        _questmill_ask 2
    fi
}
complete -o default -F _questmill questmill
complete -o default -F _questmill_run run
