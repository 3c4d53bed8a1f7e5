//! A shim: everything is in the library, where tests can reach it.

fn main() -> std::process::ExitCode {
    csihost::cli::main()
}
