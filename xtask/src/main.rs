//! The repository's own commands.

fn main() -> anyhow::Result<()> {
    let environment = xtask::python::ensure()?;
    println!("{}", environment.root().display());
    Ok(())
}
