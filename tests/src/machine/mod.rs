//! A virtual machine with Debian's kernel, for what this machine's kernel has not: USB keys by vhci-hcd, hidraw, udev; a TPM with
//! the kernel's resource manager.
//!
//! QEMU emulates the processor (TCG, x86-64), so no rights and no KVM are needed. `scripts/virtual-machine.sh` fetches the parts;
//! the guest is an archive in memory of busybox, udevd and the programs that the test brings.

mod disk;
mod initramfs;
mod tpm;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub use initramfs::Initramfs;
use initramfs::paths;
use tpm::Tpm;

use virtual_tpm::Swtpm;

pub use crate::guest::Outcome;
use crate::guest::tail;
use crate::programs::target_dir;

/// The kernel's modules, each after those that it needs.
const MODULES: [&str; 7] = [
    "drivers/usb/common/usb-common",
    "drivers/usb/core/usbcore",
    "drivers/usb/usbip/usbip-core",
    "drivers/usb/usbip/vhci-hcd",
    "drivers/hid/hid",
    "drivers/hid/hid-generic",
    "drivers/hid/usbhid/usbhid",
];
/// udev's rules that a machine has, as far as they matter to security keys.
const RULES: [&str; 2] = ["50-udev-default.rules", "60-fido-id.rules"];
/// The users of the guest. `tpm` may use the TPM, `other` may not.
const USERS: &str = "root:x:0:0:root:/tmp:/bin/sh\nmessagebus:x:100:100::/:/bin/false\ntss:x:110:110::/:/bin/false\n\
                     tpm:x:1000:1000::/tmp:/bin/sh\nother:x:1001:1001::/tmp:/bin/sh\n";
/// Groups that those rules name (Debian's numbers, where it has some).
const GROUPS: &str = "root:x:0:\ntty:x:5:\ndisk:x:6:\nlp:x:7:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\ntape:x:26:\n\
                      audio:x:29:\nvideo:x:44:\nplugdev:x:46:\ninput:x:101:\nsgx:x:102:\nkvm:x:103:\nrender:x:104:\n\
                      tss:x:110:tpm\nfwpd:x:990:\ntpm:x:1000:\nother:x:1001:\n";
/// Our own rules.
const OUR_RULES: &str = "packaging/udev";

/// Why the virtual machine did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its parts were not fetched.
    #[error("the virtual machine's parts are missing ({0}): run scripts/setup.sh usb")]
    NotFetched(String),
    /// A file of this machine.
    #[error("the virtual machine can't be put together: {0}")]
    Io(#[from] io::Error),
    /// QEMU ended before the work did.
    #[error("the virtual machine ended before its work; the end of its console:\n{console}")]
    Ended {
        /// The end of the kernel's console.
        console: String,
    },
    /// The work took too long.
    #[error("the virtual machine did not end within {} s; the end of its console:\n{console}", limit.as_secs())]
    Timeout {
        /// How long it could take.
        limit: Duration,
        /// The end of the kernel's console.
        console: String,
    },
}

/// A guest to be booted.
#[derive(Debug)]
pub struct Machine {
    files: Initramfs,
    parts: Parts,
    tpm: Option<Tpm>,
    /// The image that it boots, instead of the archive alone.
    disk: Option<PathBuf>,
}

impl Machine {
    /// A guest with nothing but a system.
    ///
    /// # Errors
    /// [`Error::NotFetched`], naming what; [`Error::Io`].
    pub fn new() -> Result<Self, Error> {
        let parts = Parts::find()?;
        let mut files = Initramfs::new();
        for folder in ["/dev", "/proc", "/sys", "/run", "/tmp", "/etc"] {
            files.folder(folder);
        }
        files.text("/etc/passwd", 0o644, USERS);
        files.text("/etc/group", 0o644, GROUPS);
        files.text("/etc/hosts", 0o644, "127.0.0.1 localhost\n");
        let mut machine = Self { files, parts, tpm: None, disk: None };
        machine.begins_with(include_str!("guest.sh"), &MODULES)?;
        machine.udev()?;
        Ok(machine)
    }

    /// The first program, busybox for it, and the kernel's modules in the order in which it loads them.
    fn begins_with(&mut self, init: &str, modules: &[&str]) -> Result<(), Error> {
        self.files.text("/init", 0o755, init);
        self.files.program("/bin/busybox", &self.parts.tool("busybox")?, &self.parts.libraries)?;
        let order: Vec<&str> = modules.iter().filter_map(|module| module.rsplit('/').next()).collect();
        self.files.text("/modules/order", 0o644, order.join("\n"));
        for (module, name) in modules.iter().zip(&order) {
            let from = self.parts.modules.join(format!("{module}.ko"));
            self.files.file(&format!("/modules/{name}.ko"), &from)?;
        }
        Ok(())
    }

    /// udevd with the system's rules and ours.
    fn udev(&mut self) -> Result<(), Error> {
        let udevadm = self.parts.file("bin/udevadm", "udev")?;
        self.files.program("/bin/udevadm", &udevadm, &self.parts.libraries)?;
        self.files.link("/bin/systemd-udevd", "udevadm");
        let fido_id = self.parts.file("lib/udev/fido_id", "udev")?;
        self.files.program("/lib/udev/fido_id", &fido_id, &self.parts.libraries)?;
        for rules in RULES {
            let from = self.parts.file(&format!("lib/udev/rules.d/{rules}"), "udev")?;
            self.files.file(&format!("/lib/udev/rules.d/{rules}"), &from)?;
        }
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(OUR_RULES);
        for entry in fs::read_dir(ours).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name();
            self.files.file(&format!("/lib/udev/rules.d/{}", name.to_string_lossy()), &entry.path())?;
        }
        Ok(())
    }

    /// Gives the guest a TPM, by its maker's hands: /dev/tpm0, and /dev/tpmrm0 with the kernel's resource manager for group `tss`, by
    /// Debian's rule. Its maker's certificates are in `/tpm-roots.pem`.
    ///
    /// # Errors
    /// [`Error::NotFetched`], naming what; [`Error::Io`].
    ///
    /// # Panics
    /// If swtpm, which is the TPM, can't be started.
    pub fn tpm(&mut self) -> Result<(), Error> {
        let swtpm = Swtpm::from_the_maker();
        self.files.text("/tpm-roots.pem", 0o644, swtpm.makers_roots());
        self.tpm = Some(Tpm::new(swtpm));
        if self.disk.is_some() {
            // The image has the rest.
            return Ok(());
        }
        // What every machine with tpm2-tss has.
        let rules = "lib/udev/rules.d/60-tpm-udev.rules";
        self.files.file(&format!("/{rules}"), &self.parts.file(rules, "tpm-udev")?)?;
        // The library loads it by its name.
        let device = "usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0";
        let from = self.parts.file(device, "libtss2-tcti-device0")?;
        Ok(self.files.program(&format!("/{device}"), &from, &self.parts.libraries)?)
    }

    /// Brings a program of this machine's `PATH` or of the fetched parts into the guest's `/bin`.
    ///
    /// # Errors
    /// It is in neither; [`Error::Io`].
    pub fn tool(&mut self, name: &str) -> Result<(), Error> {
        let from = self.parts.tool(name)?;
        Ok(self.files.program(&format!("/bin/{name}"), &from, &self.parts.libraries)?)
    }

    /// Brings a program into the guest's `/bin`, under this name and without debugging information.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn program(&mut self, name: &str, from: &Path) -> Result<(), Error> {
        let stripped = self.parts.strip(from)?;
        Ok(self.files.program(&format!("/bin/{name}"), &stripped, &self.parts.libraries)?)
    }

    /// The files of the guest.
    pub fn files(&mut self) -> &mut Initramfs {
        &mut self.files
    }

    /// Boots the guest, has its shell do `work`, and gives each line that this writes to `on_line`. The emulator's
    /// processor makes the kernel panic once in a while: then the guest is booted once more, and all its work done again, which
    /// the line "@again" tells.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(
        mut self,
        work: &str,
        limit: Duration,
        mut on_line: impl FnMut(&str),
    ) -> Result<Outcome, Error> {
        self.files.text("/work", 0o644, work);
        // Several tests may run at once, in processes of their own.
        let folder = tempfile::Builder::new().prefix("machine-").tempdir_in(&self.parts.folder)?;
        let initrd = folder.path().join("initrd");
        let mut archive = BufWriter::new(File::create(&initrd)?);
        self.files.write(&mut archive)?;
        io::Write::flush(&mut archive)?;
        let console = folder.path().join("console");
        match self.boot(&initrd, &console, limit, &mut on_line) {
            Err(Error::Ended { console: text }) if text.contains("Kernel panic") => {
                on_line("@again");
                self.boot(&initrd, &console, limit, &mut on_line)
            }
            outcome => outcome,
        }
    }

    fn boot(
        &mut self,
        initrd: &Path,
        console: &Path,
        limit: Duration,
        on_line: &mut impl FnMut(&str),
    ) -> Result<Outcome, Error> {
        let started = Instant::now();
        let mut qemu = self.parts.qemu(initrd, console)?;
        if let Some(tpm) = &mut self.tpm {
            qemu.args(tpm.power_on()?);
        }
        if let Some(disk) = &self.disk {
            qemu.args(disk::arguments(disk));
        }
        let mut qemu = Qemu(qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let output = BufReader::new(qemu.0.stdout.take().ok_or_else(|| io::Error::other("no output"))?);
        let (lines, from_guest) = channel();
        let reader = std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let (mut boot, mut status) = (None, None);
        loop {
            let line = match from_guest.recv_timeout(limit.saturating_sub(started.elapsed())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::Timeout { limit, console: tail(console) });
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let line = line.trim_end_matches('\r');
            if line.starts_with("@up ") {
                boot = Some(started.elapsed());
            } else if let Some(code) = line.strip_prefix("@exit ") {
                status = code.parse().ok();
            } else {
                on_line(line);
            }
        }
        // It has ended: its output has.
        let _ = reader.join();
        let (Some(boot), Some(status)) = (boot, status) else {
            return Err(Error::Ended { console: tail(console) });
        };
        Ok(Outcome { boot, work: started.elapsed().saturating_sub(boot), status })
    }
}

/// What `scripts/virtual-machine.sh` fetched, and what the machine has itself.
#[derive(Debug)]
struct Parts {
    folder: PathBuf,
    kernel: PathBuf,
    modules: PathBuf,
    /// Folders of libraries that were fetched.
    libraries: Vec<PathBuf>,
}

impl Parts {
    fn find() -> Result<Self, Error> {
        let folder = target_dir().join("vm");
        let only = |folder: &Path| -> Result<PathBuf, Error> {
            let first = fs::read_dir(folder).ok().and_then(|mut entries| entries.next()?.ok());
            first.map(|entry| entry.path()).ok_or_else(|| Error::NotFetched(folder.display().to_string()))
        };
        if !folder.join("parts").exists() {
            return Err(Error::NotFetched("linux-image-amd64, qemu-system-x86, udev".to_owned()));
        }
        let kernel = only(&folder.join("kernel/boot"))?;
        let modules = only(&folder.join("kernel/lib/modules"))?.join("kernel");
        let root = folder.join("root");
        let libraries = ["lib", "usr/lib"].map(|lib| root.join(lib).join("x86_64-linux-gnu"));
        Ok(Self { folder, kernel, modules, libraries: libraries.into() })
    }

    /// A file of this machine, or of the fetched parts.
    fn file(&self, path: &str, package: &str) -> Result<PathBuf, Error> {
        let places = [Path::new("/").join(path), self.folder.join("root").join(path)];
        let found = places.into_iter().find(|place| place.exists());
        found.ok_or_else(|| Error::NotFetched(format!("{path} of Debian's package {package}")))
    }

    /// A program of this machine, or of the fetched parts.
    fn tool(&self, name: &str) -> Result<PathBuf, Error> {
        let fetched = ["usr/bin", "bin"].map(|bin| self.folder.join("root").join(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).chain(fetched).map(|folder| folder.join(name)).find(|p| p.exists());
        found.ok_or_else(|| Error::NotFetched(format!("the program {name}")))
    }

    /// A copy of a program without debugging information.
    fn strip(&self, from: &Path) -> Result<PathBuf, Error> {
        let folder = self.folder.join("stripped");
        fs::create_dir_all(&folder)?;
        let stripped = folder.join(from.file_name().unwrap_or_default());
        // strip: Debian package binutils, which every C compiler brings.
        let strip = Command::new("strip").arg("-o").args([&stripped, from]).status()?;
        if !strip.success() {
            return Err(io::Error::other(format!("strip {}: {strip}", from.display())).into());
        }
        Ok(stripped)
    }

    fn qemu(&self, initrd: &Path, console: &Path) -> Result<Command, Error> {
        let program = self.tool("qemu-system-x86_64")?;
        let mut qemu = Command::new(&program);
        if program.starts_with(&self.folder) {
            let share = self.folder.join("root/usr/share");
            qemu.env("LD_LIBRARY_PATH", paths(&self.libraries));
            for data in ["qemu", "seabios"] {
                qemu.arg("-L").arg(share.join(data));
            }
        }
        qemu.args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
        ])
        .args(["-display", "none", "-nodefaults", "-no-reboot"])
        .args(["-append", "console=ttyS0 panic=-1 quiet no_timer_check"])
        .arg("-kernel")
        .arg(&self.kernel)
        .arg("-initrd")
        .arg(initrd)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args(["-serial", "stdio"]);
        Ok(qemu)
    }
}

/// QEMU, killed if it is left early.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
