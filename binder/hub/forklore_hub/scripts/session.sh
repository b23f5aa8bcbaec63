# The session itself, the same under every scheduler. Lines with "forklore: " are shown to the learner.
umask 077
cd
environment={{state_folder}}/{{environment_file}}
if [ ! -r "$environment" ]; then
    echo "forklore: The node $(hostname) does not see your home folder as the hub does; tell your administrator."
    exit {{no_environment}}
fi
. "./$environment"
rm -f "$environment"
find {{state_folder}} \( -name 'job-*.log' -o -name 'session-*.env' \) -mtime +7 -delete
{{prologue}}
for program in {{programs | join(' ')}}{% if nodes > 1 %} mpirun forklore-node{% endif %}; do
    if ! command -v "$program" >/dev/null; then
        echo "forklore: The node $(hostname) has no $program, which a session needs; tell your administrator."
        exit {{no_environment}}
    fi
done
{{lessons}}
# Connection files and sockets: not in a home folder that other nodes share, and not for others.
JUPYTER_RUNTIME_DIR=$(mktemp -d "${TMPDIR:-/tmp}/jupyter-XXXXXXXX")
export JUPYTER_RUNTIME_DIR
trap 'rm -rf "$JUPYTER_RUNTIME_DIR"' EXIT
{{cmd}}
