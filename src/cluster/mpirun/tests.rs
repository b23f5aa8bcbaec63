//! Tests of the command line that starts a node's job, word by word, and of which launchers are
//! accepted.

use std::fs;

use super::version::what_it_says;
use super::*;

fn launcher(version: &str) -> Launcher {
    let said = format!("mpirun (Open MPI) {version}\n\nReport bugs to http://www.open-mpi.org/\n");
    Launcher::of_version("/opt/mpi/bin/mpirun".into(), &said).unwrap()
}

fn variables(all: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    all.iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn line(version: &str, host: &str, network: &Network, environment: &[(&str, &str)]) -> String {
    let relay = ["--slot", "3"].map(OsString::from);
    let job = Job {
        host,
        program: Path::new("/home/u/bin/forklore-node"),
        relay: &relay,
        agent: &["--workers=4".into()],
        exported: &["OMP_NUM_THREADS", "NOT_SET"],
    };
    let line = launcher(version).command_line(&job, network, variables(environment));
    let words = line.arguments.iter().map(|word| word.to_str().unwrap());
    words.collect::<Vec<_>>().join(" ")
}

fn kept(environment: &[(&str, &str)]) -> Vec<String> {
    let job = Job {
        host: "node1",
        program: Path::new("/forklore-node"),
        relay: &[],
        agent: &[],
        exported: &[],
    };
    let line = launcher("4.1.4").command_line(&job, &Network::default(), variables(environment));
    let all = line.environment.into_iter();
    all.map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect()
}

#[test]
fn a_nodes_job_has_a_relay_here_and_an_agent_there() {
    let expected = "--bind-to none --map-by :OVERSUBSCRIBE --mca ras ^slurm,gridengine,tm,lsf --stdin 1 \
        --mca pml ob1 --mca btl tcp,self --mca mpi_warn_on_fork 0 \
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 \
        --mca plm_rsh_args -o BatchMode=yes -o ConnectTimeout=10 \
        -n 1 --host localhost:1 /home/u/bin/forklore-node relay --slot 3 : \
        -n 1 --host node1:1 -x OMP_NUM_THREADS -x RDMAV_FORK_SAFE -x IBV_FORK_SAFE \
        /home/u/bin/forklore-node agent --workers=4";
    let environment = [("OMP_NUM_THREADS", "1"), ("PATH", "/bin")];
    assert_eq!(
        line("4.1.4", "node1", &Network::default(), &environment),
        expected
    );
}

#[test]
fn version_5_has_other_names_for_the_launchers_settings() {
    let network = Network::default().interface("10.0.0.0/16").unwrap();
    let line_5 = line("5.0.11", "node1", &network, &[]);
    for part in [
        "--prtemca ras ^slurm,gridengine,tm,lsf --stdin 1",
        "--prtemca oob_tcp_keepalive_time 3",
        "--prtemca prte_if_include 10.0.0.0/16 --mca btl_tcp_if_include 10.0.0.0/16",
        "--prtemca plm_ssh_args -o BatchMode=yes -o ConnectTimeout=10",
    ] {
        assert!(line_5.contains(part), "{part} is not in: {line_5}");
    }
    let line_4 = line("4.1.4", "node1", &network, &[]);
    assert!(
        line_4
            .contains("--mca oob_tcp_if_include 10.0.0.0/16 --mca btl_tcp_if_include 10.0.0.0/16")
    );
}

#[test]
fn an_agent_on_this_machine_needs_no_network() {
    let network = Network::default().interface("eth0").unwrap();
    let line = line("4.1.4", "localhost", &network, &[]);
    assert!(
        line.contains("--mca btl_tcp_if_include 127.0.0.0/8"),
        "{line}"
    );
    assert!(!line.contains("eth0"), "{line}");
    assert_eq!(line.matches("--host localhost:1").count(), 2, "{line}");
}

#[test]
fn ports_are_shared_out_between_launcher_and_ranks() {
    let network = Network::default().ports(50_000..=50_010).unwrap();
    let line = line("4.1.4", "node1", &network, &[]);
    for part in [
        "--mca oob_tcp_dynamic_ipv4_ports 50000-50004",
        "--mca btl_tcp_port_min_v4 50005",
        "--mca btl_tcp_port_range_v4 6",
        "--mca oob_tcp_dynamic_ipv6_ports 50000-50004",
        "--mca btl_tcp_port_min_v6 50005",
    ] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    let all = Network::default().ports(1024..=u16::MAX).unwrap();
    all.for_node(9999, 10_000).unwrap();
    for (first, last) in [(50_000, 50_006), (1023, 2000), (9, 8), (60_000, 50_000)] {
        let wrong = RangeInclusive::new(first, last);
        let error = Network::default().ports(wrong).unwrap_err();
        assert!(
            error.is_invalid_input() && error.to_string().contains("at least 8"),
            "{error}"
        );
    }
}

#[test]
fn each_nodes_launcher_has_ports_of_its_own() {
    let network = Network::default().ports(50_000..=50_011).unwrap();
    let of = |index| line("4.1.4", "node1", &network.for_node(index, 3).unwrap(), &[]);
    for (index, part) in ["50000-50001", "50002-50003", "50004-50005"]
        .iter()
        .enumerate()
    {
        let line = of(index);
        assert!(
            line.contains(&format!("oob_tcp_dynamic_ipv4_ports {part}")),
            "{line}"
        );
        assert!(line.contains("--mca btl_tcp_port_min_v4 50006"), "{line}");
    }
    network.for_node(5, 6).unwrap();
    let error = network.for_node(0, 7).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(
        error
            .to_string()
            .contains("50000 to 50011 are too few for 7 nodes; give at least 14"),
        "{error}"
    );
    assert_eq!(
        Network::default().for_node(6, 7).unwrap(),
        Network::default()
    );
}

#[test]
fn interfaces_that_are_none_are_refused() {
    for wrong in ["", "-x", "eth0 eth1", "a;b", "--mca"] {
        let error = Network::default().interface(wrong).unwrap_err();
        let message = error.to_string();
        assert!(
            error.is_invalid_input() && message.contains(&format!("{wrong:?}")),
            "{message}"
        );
    }
}

#[test]
fn only_ssh_gets_the_switches_of_ssh() {
    let own = Network::default().remote_shell(Path::new("/opt/my-rsh"));
    let line_of =
        |network: &Network, environment: &[_]| line("4.1.4", "node1", network, environment);
    let with_own = line_of(&own, &[]);
    assert!(
        with_own.contains("--mca plm rsh --mca plm_rsh_agent /opt/my-rsh"),
        "{with_own}"
    );
    let with_variable = [("OMPI_MCA_plm_rsh_agent", "blaunch")];
    let with_grid_engine = [("PE_HOSTFILE", "/spool/pe_hostfile")];
    let others = [with_variable, with_grid_engine];
    let others = others
        .iter()
        .map(|environment| line_of(&Network::default(), environment));
    for line in others.chain([with_own]) {
        assert!(!line.contains("BatchMode"), "{line}");
    }
}

#[test]
fn slurm_is_asked_for_the_node_by_its_name() {
    let of =
        |version, host, environment: &[_]| line(version, host, &Network::default(), environment);
    let job = ("SLURM_JOB_ID", "12");
    let named = "plm_slurm_args --nodes=1 --nodelist=node1";
    assert!(of("4.1.4", "node1", &[job]).contains(&format!("--mca {named} ")));
    assert!(of("5.0.11", "node1", &[job]).contains(&format!("--prtemca {named} ")));
    let of_a_site = ("OMPI_MCA_plm_slurm_args", "--mpi=none");
    let line = of("4.1.4", "node1", &[job, of_a_site]);
    assert!(line.contains(&format!("{named} --mpi=none ")), "{line}");
    for line in [of("4.1.4", "node1", &[]), of("4.1.4", "localhost", &[job])] {
        assert!(!line.contains("plm_slurm_args"), "{line}");
    }
}

#[test]
fn what_another_launcher_left_is_not_handed_on() {
    let of_a_rank = [
        ("HOME", "/home/u"),
        ("OMPI_COMM_WORLD_SIZE", "4"),
        ("OMPI_MCA_ess_base_jobid", "7"),
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("PMIX_RANK", "0"),
        ("PMI_RANK", "0"),
        ("PRTE_LAUNCHED", "1"),
        ("ORTE_SCHIZO", "1"),
    ];
    let rest = [
        "HOME=/home/u",
        "IBV_FORK_SAFE=1",
        "OMPI_ALLOW_RUN_AS_ROOT=1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        "RDMAV_FORK_SAFE=1",
    ];
    assert_eq!(kept(&of_a_rank), rest);
}

#[test]
fn a_sites_settings_and_slurms_stay() {
    let of_a_job = [
        ("OMPI_MCA_btl_tcp_if_include", "ib0"),
        ("PMIX_MCA_gds", "hash"),
        ("PMIX_NAMESPACE", "slurm.pmix.1"),
        ("RDMAV_FORK_SAFE", "0"),
        ("SLURM_EXPORT_ENV", "NONE"),
        ("SLURM_JOB_ID", "12"),
    ];
    let rest = [
        "IBV_FORK_SAFE=1",
        "OMPI_MCA_btl_tcp_if_include=ib0",
        "PMIX_MCA_gds=hash",
        "RDMAV_FORK_SAFE=0",
        "SLURM_JOB_ID=12",
        "SLURM_OVERLAP=1",
    ];
    assert_eq!(kept(&of_a_job), rest);
}

#[test]
fn open_mpi_from_4_1_on_is_taken() {
    for version in ["4.1.0", "4.1.4", "5.0.11", "4.1.7rc1", "6.0.0a1"] {
        assert_eq!(launcher(version).version(), version);
    }
    assert_eq!(
        launcher("5.0.11").program(),
        Path::new("/opt/mpi/bin/mpirun")
    );
}

#[test]
fn other_launchers_are_named() {
    let cases = [
        (
            "mpirun (Open MPI) 4.0.7\n",
            "Open MPI 4.0.7, which is too old",
        ),
        ("mpirun (Open MPI) 1.10.2\n", "too old"),
        (
            "mpirun (Open MPI) master\n",
            "a version unknown here, \"master\"",
        ),
        (
            "HYDRA build details:\n    Version:     4.0.2\n",
            "MPICH, and not Open MPI",
        ),
        (
            "HYDRA build details:\n    Version: mvapich2-2.3.7",
            "MVAPICH, and not Open MPI",
        ),
        (
            "Intel(R) MPI Library for Linux* OS, Version 2021.9",
            "Intel MPI, and not Open MPI",
        ),
        ("prterun (PRRTE) 3.0.5", "PRRTE without Open MPI"),
        ("", "it says \"nothing\""),
        ("\n  hello \u{1b}[1m\n", "it says \"hello \\u{1b}[1m\""),
    ];
    for (said, part) in cases {
        let error = Launcher::of_version("/usr/bin/mpirun".into(), said).unwrap_err();
        let message = error.to_string();
        assert!(error.is_invalid_input());
        for part in ["/usr/bin/mpirun is ", part, "module load openmpi"] {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }
}

/// A folder with an `mpirun` in it, removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, script: &str) -> Folder {
        let name = format!("forklore-mpirun-{}-{name}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        // Another process writes it: if this one did, a thread that forks in the meantime would
        // hold the file open for writing, and Linux does not run such a file.
        let file = folder.0.join("mpirun");
        let made = std::process::Command::new("/bin/sh")
            .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .args([file.as_os_str(), OsStr::new(script)])
            .status();
        assert!(made.unwrap().success());
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_first_mpirun_in_path_is_asked() {
    let folder = Folder::new("found", "#!/bin/sh\necho 'mpirun (Open MPI) 4.1.4'\n");
    let path = format!("relative:/no/such/folder:{}:/usr/bin", folder.0.display());
    let found = Launcher::find(Some(path.as_ref())).unwrap();
    assert_eq!(found.program(), folder.0.join("mpirun"));
    for nowhere in [None, Some("".as_ref()), Some("/no/such/folder".as_ref())] {
        let error = Launcher::find(nowhere).unwrap_err();
        assert!(error.to_string().contains("no mpirun in PATH"), "{error}");
    }
}

#[test]
fn a_program_that_does_not_run_is_named() {
    let folder = Folder::new("broken", "#!/no/such/interpreter\n");
    let error = Launcher::at(folder.0.join("mpirun")).unwrap_err();
    assert!(
        error.is_os() && error.to_string().contains("mpirun"),
        "{error}"
    );
}

#[test]
fn a_program_that_says_nothing_is_not_waited_for() {
    let silent = Folder::new("silent", "#!/bin/sh\nexec sleep 1000\n");
    let program = silent.0.join("mpirun");
    let error = what_it_says(&program, "--version", std::time::Duration::ZERO).unwrap_err();
    assert!(error.is_timed_out(), "{error}");
}

#[test]
fn a_program_that_never_stops_talking_is_ended() {
    let folder = Folder::new("endless", "#!/bin/sh\nexec yes 'mpirun (Open MPI) 9.9.9'\n");
    assert_eq!(
        Launcher::at(folder.0.join("mpirun")).unwrap().version(),
        "9.9.9"
    );
}
