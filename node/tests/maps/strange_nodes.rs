//! Nodes that are not as the owner needs them, and what it says of each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use forklore::Cluster;

use super::{script, wait_until_nothing_runs};

/// A folder of its own on each node, if [`SHELL`] starts the node's processes.
const UNSHARED: &str = "/run/unshared";
/// The program that the owner finds, on the head and on all nodes that share its folder.
pub const PROGRAM: &str = "/run/unshared/forklore-node";
/// The program that reaches a node.
const SHELL: &str = "/run/shell";

/// What is written on a node, by what, and what the owner's error must have of it.
struct Case {
    /// The remote shell's last line, after it has set `$node` and the words to run there.
    shell: &'static str,
    /// The lines of `forklore-node` before it is really started.
    program: &'static str,
    parts: &'static [&'static str],
}

const CASES: [Case; 5] = [
    Case {
        shell: "echo \"ssh: connect to host $node port 22: Connection refused\" >&2; exit 255",
        program: "",
        parts: &["Connection refused"],
    },
    Case {
        shell: "echo \"$USER@$node: Permission denied (publickey).\" >&2; exit 255",
        program: "",
        parts: &["Permission denied (publickey)"],
    },
    Case {
        shell: "exec \"$rsh\" \"$node\" \"$@\"",
        program: "echo \"$0: libc.so.6: version \\`GLIBC_2.99' not found (required by $0)\" >&2; exit 1",
        parts: &["GLIBC_2.99"],
    },
    Case {
        shell: "exec \"$rsh\" \"$node\" \"$@\"",
        program: "echo \"$0: error while loading shared libraries: libmpi.so.40: cannot open\" >&2; exit 127",
        parts: &["libmpi.so.40"],
    },
    Case {
        shell: "exec \"$rsh\" \"$node\" \"mount -t tmpfs tmpfs /run/unshared; $*\"",
        program: "",
        parts: &["/run/unshared/forklore-node"],
    },
];

pub(super) fn strange_nodes() {
    for Case {
        shell,
        program,
        parts,
    } in CASES
    {
        write_program(SHELL, &shell_script(shell));
        write_node_program(program);
        let error = cluster(&["node2:1"]).unwrap_err();
        let said = error.to_string();
        println!("--- {said}");
        assert!(error.is_os() && said.contains("node2"), "{said}");
        assert!(!said.contains("ORTE was unable"), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
        wait_until_nothing_runs();
    }
    no_program_runs_from_the_temporary_folder();
}

fn no_program_runs_from_the_temporary_folder() {
    let last = "exec \"$rsh\" \"$node\" \"mkdir -p /run/noexec; \
        mount -t tmpfs -o noexec tmpfs /run/noexec; export TMPDIR=/run/noexec; $*\"";
    write_program(SHELL, &shell_script(last));
    write_node_program("");
    let cluster = cluster(&["node2:1"]).unwrap();
    let folder = |_: u32| std::env::var("TMPDIR").unwrap_or_default();
    assert_eq!(cluster.map(folder, 0..1), ["/run/noexec"]);
}

fn cluster(hosts: &[&str]) -> forklore::Result<Cluster> {
    let builder = Cluster::builder().hosts(hosts).remote_shell(SHELL);
    builder.interface("10.77.0.0/24")?.build()
}

fn shell_script(last: &str) -> String {
    let rsh = script("rsh");
    format!(
        "#!/bin/sh\nrsh={}\nwhile case $1 in -*) ;; *) false; esac; do shift; done\nnode=$1; shift\n{last}\n",
        rsh.display()
    )
}

fn write_node_program(first: &str) {
    let real = env!("CARGO_BIN_EXE_forklore-node");
    fs::create_dir_all(UNSHARED).unwrap();
    let text =
        format!("#!/bin/sh\nif [ \"$1\" = agent ]; then :; {first}\nfi\nexec {real} \"$@\"\n");
    write_program(PROGRAM, &text);
}

fn write_program(path: impl AsRef<Path>, text: &str) {
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
