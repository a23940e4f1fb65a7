//! The floor of a page's request to the wallet: a native-messaging host that makes one call to another program on the session bus
//! for each message, and answers with what comes back. `native-echo serve` is that other program.

use std::io::{Read, Write};
use zbus::Connection;

const NAME: &str = "io.github.fwpd.BenchEcho";
/// Larger messages than any of the benchmark's are a mistake.
const MOST: usize = 1 << 20;

struct Echo;

#[zbus::interface(name = "io.github.fwpd.BenchEcho")]
impl Echo {
    fn echo(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return runtime.block_on(async {
            let builder = zbus::connection::Builder::session().serve_at("/", Echo);
            let _connection = builder.name(NAME).build().await?;
            std::future::pending().await
        });
    }
    let connection = runtime.block_on(Connection::session())?;
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let size = usize::try_from(u32::from_ne_bytes(length))?;
        if size > MOST {
            return Err("a message that is too long".into());
        }
        let mut message = vec![0; size];
        from.read_exact(&mut message)?;
        let text = String::from_utf8(message)?;
        let reply = runtime.block_on(connection.call_method(Some(NAME), "/", Some(NAME), "Echo", &text))?;
        let body = reply.body();
        let text: &str = body.deserialize()?;
        to.write_all(&u32::try_from(text.len())?.to_ne_bytes())?;
        to.write_all(text.as_bytes())?;
        to.flush()?;
    }
    Ok(())
}
