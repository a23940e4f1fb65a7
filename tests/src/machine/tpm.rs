//! The guest's TPM: swtpm behind QEMU's `tpm-tis`.

use std::fmt;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use virtual_tpm::Swtpm;

/// A TPM, which is powered on with each boot of its machine.
pub(super) struct Tpm {
    /// Off: its NV memory, as its maker left it, and then as the guest did.
    swtpm: Swtpm,
    process: Option<Child>,
}

impl fmt::Debug for Tpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tpm").field("state", &self.swtpm.state).finish_non_exhaustive()
    }
}

impl Tpm {
    pub(super) fn new(mut swtpm: Swtpm) -> Self {
        swtpm.kill();
        Self { swtpm, process: None }
    }

    /// Starts it, for a machine that starts too and with which it ends, and gives QEMU's arguments for it.
    pub(super) fn power_on(&mut self) -> io::Result<[String; 6]> {
        self.power_off();
        let state = self.swtpm.state.path();
        let socket = state.join("machine");
        let _old = std::fs::remove_file(&socket);
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--terminate", "--tpmstate", &format!("dir={}", state.display())])
            .args(["--ctrl", &format!("type=unixio,path={}", socket.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        let started = Instant::now();
        while !socket.exists() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other("swtpm does not start"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok([
            "-chardev".to_owned(),
            format!("socket,id=tpm,path={}", socket.display()),
            "-tpmdev".to_owned(),
            "emulator,id=tpm0,chardev=tpm".to_owned(),
            "-device".to_owned(),
            "tpm-tis,tpmdev=tpm0".to_owned(),
        ])
    }

    fn power_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended with its machine.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.power_off();
    }
}
