#compdef questmill run
# Completes `./run questmill ...` of this clone, and an alias or function called questmill.
_questmill_ask() { # the number of the word after "questmill"
    local line reply
    local -a described
    reply=$(_QUESTMILL_COMPLETE="questmill ${(j: :)words[$1,CURRENT]}" @RUN@ questmill 2>/dev/null)
    for line in ${(f)reply}; do
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#described )); then _describe questmill described; else _files; fi
}
_questmill() { _questmill_ask 2 }
_questmill_run() {
    # Other projects have a script called run too.
    if [[ ! ${~words[1]} -ef @RUN@ ]]; then
        _files
    elif (( CURRENT == 2 )); then
        compadd demo up worker backup restore keys db questmill benchmarks test test-browser test-alerts test-manifests test-train test-hostile test-docs test-containers supply faults bench train masks lint reference lock
    elif [[ $words[2] == questmill ]]; then
        _questmill_ask 3
    else
        _files
    fi
}
compdef _questmill questmill
compdef _questmill_run run
