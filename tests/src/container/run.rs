//! One start of the container, from systemd-nspawn to the end of its cgroup.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Container, Error, TPM_PORT};
use crate::guest::{Outcome, tail};

/// Between two looks whether the container has ended.
const PAUSE: Duration = Duration::from_millis(100);
/// The cgroup is named "fwpd-tests-" and this.
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// Ends the host's side of the pipe.
const END: &str = "@end";

/// $1: the cgroup's name; what follows is systemd-nspawn's. In a mount namespace of its own, where cgroups are version 2 only, as the
/// container's systemd wants them; a machine may have them in both versions.
const START: &str = "set -e
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/$1
echo $$ >/sys/fs/cgroup/$1/cgroup.procs
shift
exec systemd-nspawn \"$@\"";
/// $1: the cgroup's name. Kills what is left in it, and removes it.
const STOP: &str = "umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
[ -d /sys/fs/cgroup/$1 ] || exit 0
echo 1 >/sys/fs/cgroup/$1/cgroup.kill
for _ in $(seq 100); do
  find /sys/fs/cgroup/$1 -depth -type d -exec rmdir {} \\; 2>/dev/null
  [ -d /sys/fs/cgroup/$1 ] || exit 0
  sleep 0.05
done";

/// A running container, killed when it is dropped.
struct Running {
    nspawn: Child,
    cgroup: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = in_namespace(STOP, &self.cgroup).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}

fn in_namespace(script: &str, cgroup: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", script, "sh", cgroup]);
    command
}

impl Container {
    /// Starts the guest, has its shell do `work` as root in the share's folder, and gives each line that this writes to `on_line`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(
        mut self,
        work: &str,
        limit: Duration,
        mut on_line: impl FnMut(&str),
    ) -> Result<Outcome, Error> {
        let script = format!(
            "#!/bin/sh\necho \"@up\"\ncd {} || exit 1\n(\n{work}\n)\necho \"@exit $?\"\n",
            super::SHARE
        );
        self.text("work", 0o755, &script)?;
        let started = Instant::now();
        let (lines, pipe) = self.lines()?;
        let console = self.folder.path().join("console");
        let mut running = self.start(&console)?;
        let (mut boot, mut status) = (None, None);
        let mut gone = false;
        while status.is_none() {
            match lines.recv_timeout(PAUSE) {
                Ok(line) if line == "@up" => boot = Some(started.elapsed()),
                Ok(line) => match line.strip_prefix("@exit ") {
                    Some(code) => status = code.parse().ok(),
                    None => on_line(&line),
                },
                // What it wrote before it ended has been read.
                Err(RecvTimeoutError::Timeout) if gone => break,
                Err(RecvTimeoutError::Timeout) => gone = running.nspawn.try_wait()?.is_some(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if started.elapsed() > limit {
                return Err(Error::Timeout { limit, console: tail(&console) });
            }
        }
        writeln!(&pipe, "{END}")?;
        let (Some(boot), Some(status)) = (boot, status) else {
            return Err(Error::Ended { console: tail(&console) });
        };
        Ok(Outcome { boot, work: started.elapsed().saturating_sub(boot), status })
    }

    /// The pipe that the guest's work writes to, and what comes out of it.
    fn lines(&self) -> io::Result<(Receiver<String>, File)> {
        let path = self.folder.path().join("out/lines");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Both ends, so that it never ends while the guest is starting.
        let pipe = File::options().read(true).write(true).open(&path)?;
        let reader = BufReader::new(pipe.try_clone()?);
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in reader.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if line == END || to.send(line).is_err() {
                    return;
                }
            }
        });
        Ok((lines, pipe))
    }

    fn start(&self, console: &Path) -> io::Result<Running> {
        let cgroup = format!("fwpd-tests-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.path().display();
        let mut nspawn = in_namespace(START, &cgroup);
        nspawn
            .args(["--quiet", "--register=no", "--keep-unit", "--kill-signal=SIGRTMIN+3"])
            .args(["--private-network", "--resolv-conf=off", "--timezone=off", "--console=pipe"])
            // Two may run at once: what they write is in memory, each for itself.
            .args(["--read-only", "--volatile=overlay"])
            .arg(format!("--machine={cgroup}"))
            .arg(format!("--setenv=SYSTEMD_TPM2_DEVICE=swtpm:host=127.0.0.1,port={TPM_PORT}"))
            .arg(format!("--bind-ro={folder}/share:{}", super::SHARE))
            .arg(format!("--bind={folder}/out:/mnt/out"))
            .arg("--directory")
            .arg(&self.root)
            .args(["--boot", "systemd.unit=fwpd-tests.service"])
            .stdin(Stdio::null())
            .stdout(File::create(console)?)
            .stderr(File::options().append(true).open(console)?);
        Ok(Running { nspawn: nspawn.spawn()?, cgroup })
    }
}
