# Completes `./run questmill ...` of this clone, and an alias or function called questmill.
function __questmill_ask --argument-names before # how many words stand before those of questmill
    set -l typed (commandline -opc)
    set -l line questmill $typed[(math $before + 1)..-1] (commandline -ct)
    set -l found (env _QUESTMILL_COMPLETE="$line" @RUN@ questmill 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
function __questmill_run
    set -l typed (commandline -opc)
    # Other projects have a script called run too.
    if test (path resolve -- $typed[1]) != @RUN@
        __fish_complete_path (commandline -ct)
    else if test (count $typed) -eq 1
        printf '%s\n' demo up worker backup restore keys db questmill benchmarks test test-browser test-alerts test-manifests test-train test-hostile test-docs test-containers supply faults bench train masks lint reference lock
    else if test $typed[2] = questmill
        __questmill_ask 2
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command questmill --no-files --arguments '(__questmill_ask 1)'
complete --command run --no-files --arguments '(__questmill_run)'
