//! Whole command lines with what they print and how they end, without a daemon: `tests/cmd/*.trycmd`. After a wanted
//! change: `TRYCMD=overwrite cargo test -p fwpctl --test transcripts`, and read the difference.

#[test]
fn command_lines_answer_as_written() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/session")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system")
        .case("tests/cmd/*.trycmd");
}
