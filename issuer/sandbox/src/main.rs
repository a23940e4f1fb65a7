//! fwp-sandbox
fn main() -> std::io::Result<()> {
    fwp_sandbox::cases::verify_lines(std::io::stdin().lock(), std::io::stdout().lock())
}
