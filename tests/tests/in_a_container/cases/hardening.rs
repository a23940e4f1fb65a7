//! The unit's sandbox, as seen from inside.

use std::fs;
use std::path::Path;

use fwp_tests::until;

use crate::person::Person;
use crate::system::{self, attempt, pid, property, run, status_line};

/// What "of 10" is let be.
const LIMIT: f64 = 1.0;

pub(super) fn systemd_analyze_says_at_most_1_0() {
    let text = run(&["systemd-analyze", "security", "--no-pager", system::UNIT]);
    let level = text.lines().find_map(|line| line.split_once("exposure level for fwpd.service: ")).unwrap().1;
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= LIMIT, "{text}");
}

/// A running service, and its process.
fn running() -> String {
    drop(Person::elsewhere("anna").tries(serde_json::json!({"do": "hello"})));
    pid()
}

pub(super) fn the_process_has_no_rights_and_namespaces_of_its_own() {
    let pid = running();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_line(&pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_line(&pid, "NoNewPrivs"), "1");
    assert_eq!(status_line(&pid, "Seccomp"), "2", "system calls are filtered");
    let user = run(&["id", "--user", "fwpd"]);
    let uids = status_line(&pid, "Uid");
    assert!(uids.split_whitespace().all(|uid| uid == user.trim()), "{uids}");
    for (namespace, own) in [("mnt", true), ("user", true), ("ipc", true), ("uts", true), ("net", false)] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        // udev's events don't come into a network namespace of its own: there it has no addresses to use, instead.
        assert_eq!(of(&pid) != of("1"), own, "{namespace}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // Not dumpable: /proc has its files for root, whoever it runs as. Nor does anybody else see its environment.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0);
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("MALLOC_PERTURB_=165") && environment.contains("TSS2_LOG=all+none"));
    // The process that systemd started is the one that runs: the unit saved the start in a start.
    assert_eq!(property("NRestarts"), "0");
}

/// Tries what the service must not do, by system calls, and prints a line for each: what, and "done" or the error's name. perl is on
/// every Debian, and calls anything by number. x86-64.
const PROBE: &str = r#"
use Errno; use Socket;
$| = 1;
sub error { for my $name (keys %!) { return $name if exists $!{$name} && $!{$name} } return 0 + $! }
sub report { my ($what, $done) = @_; print "$what ", ($done ? "done" : error()), "\n" }
sub reads { my ($path) = @_; my $done = open(my $file, '<', $path); $done &&= defined sysread($file, my $text, 1) if $done; report("read:$path", $done) }
sub lists { my ($path) = @_; my $done = opendir(my $folder, $path); if ($done) { my @in = grep { !/^\.\.?$/ } readdir $folder; $done = @in > 0; $! = 2 unless $done } report("list:$path", $done) }
sub writes { my ($path) = @_; report("write:$path", open(my $file, '>>', $path)) }
sub calls { my ($what, $number, @arguments) = @_; report("call:$what", syscall($number, @arguments) != -1) }
report("socket:inet", socket(my $inet, AF_INET, SOCK_STREAM, 0));
report("socket:inet-udp", socket(my $udp, AF_INET, SOCK_DGRAM, 0));
report("socket:inet6", socket(my $inet6, AF_INET6, SOCK_STREAM, 0));
report("socket:packet", socket(my $packet, 17, SOCK_RAW, 0));
report("socket:vsock", socket(my $vsock, 40, SOCK_STREAM, 0));
report("socket:alg", socket(my $alg, 38, SOCK_SEQPACKET, 0));
report("socket:unix", socket(my $unix, AF_UNIX, SOCK_STREAM, 0));
reads($_) for qw(/home/anna/.bashrc /root/.bashrc /etc/shadow /proc/1/environ /proc/kallsyms /dev/mem /dev/kmsg /dev/vda /dev/tpm0 /dev/input/event0 /etc/credstore.encrypted/fwpd.wallet-key /var/lib/systemd/credential.secret);
lists($_) for qw(/home /root /tmp /run/user /etc/credstore.encrypted);
writes($_) for qw(/etc/probe /usr/probe /var/lib/probe /var/tmp/../probe /home/anna/probe /proc/sys/kernel/hostname /sys/probe /sys/fs/cgroup/cgroup.procs /dev/probe /run/probe /dev/shm/../probe);
writes('/var/lib/fwpd/probe');
unlink '/var/lib/fwpd/probe';
my $path = "/tmp"; my $type = "tmpfs"; my $null = "\0" x 64;
calls("mount", 165, $type, $path, $type, 0, 0);
calls("unshare-user", 272, 0x10000000);
calls("unshare-mount", 272, 0x00020000);
calls("setns", 308, 0, 0);
calls("chroot", 161, $path);
calls("pivot_root", 155, $path, $path);
calls("ptrace", 101, 16, getppid(), 0, 0);
my $room = "\0" x 8;
calls("process_vm_readv", 310, getppid(), pack("pQ", $room, 8), 1, pack("QQ", 0x400000, 8), 1, 0);
calls("bpf", 321, 0, $null, 64);
calls("perf_event_open", 298, $null, 0, -1, -1, 0);
calls("keyctl", 250, 0, -1, 0);
calls("add_key", 248, $type, $path, $path, 1, -1);
calls("init_module", 175, $null, 1, $path);
calls("kexec_load", 246, 0, 0, 0, 0);
calls("clock_settime", 227, 0, $null);
calls("settimeofday", 164, $null, 0);
calls("sethostname", 170, $path, 4);
calls("setuid-root", 105, 0);
calls("setrlimit-core", 160, 4, pack("QQ", 1 << 20, 1 << 20));
calls("setpriority", 141, 0, 0, -5);
calls("sched_realtime", 144, 0, 1, pack("i", 1));
calls("personality", 135, 0x0040000);
calls("userfaultfd", 323, 0);
calls("mmap-write-execute", 9, 0, 4096, 7, 0x22, -1, 0);
calls("swapon", 167, $path, 0);
calls("reboot", 169, 0, 0, 0, 0);
calls("mknod", 133, "/var/lib/fwpd/node", 0020644, 0x0101);
calls("chmod-suid", 90, "/var/lib/fwpd", 04700);
report("kill-pid1", kill(0, 1));
report("execute:/bin/sh", system("/bin/sh", "-c", "exit 0") == 0);
print "end\n";
"#;

/// What the probe may do: the bus' and pcscd's sockets, and the wallets' own folder. Everything else is refused.
const ALLOWED: [&str; 2] = ["socket:unix", "write:/var/lib/fwpd/probe"];

/// Runs the probe in the service's place, under its very unit, and gives its lines.
pub(super) fn probe() -> Vec<(String, String)> {
    // Everybody reads it; in /usr, since the service has /tmp and /home for itself.
    fs::write("/usr/lib/fwpd-probe.pl", PROBE).unwrap();
    let out = Path::new("/var/lib/fwpd/out");
    let _old = fs::remove_file(out);
    system::drop_in(
        "[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/usr/bin/perl /usr/lib/fwpd-probe.pl\n\
         ExecPaths=/usr/bin/perl\nStandardOutput=append:/var/lib/fwpd/out\n",
    );
    run(&["systemctl", "start", system::UNIT]);
    let text = fs::read_to_string(out).unwrap();
    let _done = fs::remove_file(out);
    fs::remove_file("/usr/lib/fwpd-probe.pl").unwrap();
    assert!(text.ends_with("end\n"), "{text}");
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(what, how)| (what.into(), how.into()))
        .collect()
}

pub(super) fn a_program_in_its_place_reaches_nothing() {
    let seen = probe();
    assert!(seen.len() > 50, "{seen:?}");
    let done: Vec<_> = seen.iter().filter(|(_, how)| how == "done").map(|(what, _)| what.as_str()).collect();
    assert_eq!(done, ALLOWED, "{seen:?}");
    // A call is refused for what it is, not for what it was given.
    let calls: Vec<_> = seen.iter().filter(|(what, _)| what.starts_with("call:")).collect();
    assert!(calls.iter().all(|(_, how)| matches!(how.as_str(), "EPERM" | "EACCES")), "{calls:?}");
    // The same outside of the unit does a good deal of it: the probe is no fake.
    fs::write("/root/probe.pl", PROBE).unwrap();
    let (_, outside) = attempt(&["perl", "/root/probe.pl"]);
    for what in [
        "socket:inet",
        "read:/home/anna/.bashrc",
        "read:/etc/shadow",
        "write:/etc/probe",
        "call:mount",
        "call:mmap-write-execute",
    ] {
        assert!(outside.contains(&format!("{what} done")), "{outside}");
    }
    let _unmounted = attempt(&["umount", "/tmp"]);
}

pub(super) fn a_crash_leaves_no_core() {
    let pid = running();
    let started = property("ActiveEnterTimestampMonotonic");
    run(&["kill", "-ABRT", &pid]);
    // It comes back by itself, as systemd restarts what has failed.
    until("the service again", || {
        Some(()).filter(|()| {
            property("ActiveState") == "active" && property("ActiveEnterTimestampMonotonic") != started
        })
    });
    let journal = run(&["journalctl", "--quiet", "--output=cat", "--unit", system::UNIT]);
    assert!(journal.contains("status=6/ABRT"), "{journal}");
    assert!(!journal.contains("code=dumped"), "{journal}");
}
