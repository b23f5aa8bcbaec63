//! What a lesson needs to run: a Python environment, and a kernel that Jupyter can find.

use anyhow::{Context, Result, bail};

use crate::kernel::Kernel;
use crate::places;
use crate::prerequisites::{self, Report};
use crate::python::{self, Environment};
use crate::scripts::Scripts;

/// What every run of a lesson needs.
#[derive(Debug, Clone)]
pub struct Workbench {
    /// With JupyterLab, and the packages that run notebooks.
    pub environment: Environment,
    /// With its kernelspecs.
    pub kernel: Kernel,
    /// The scripts that run the notebooks, and make pages and slides of them.
    pub scripts: Scripts,
}

impl Workbench {
    /// A workbench with this program as the kernel. It uses this program's own Python environment
    /// if that has what lessons need, so that an image needs no network; otherwise it makes one
    /// with pinned packages in the cache folder.
    ///
    /// # Errors
    ///
    /// If the machine lacks something, or the cache folder cannot be written.
    pub fn of_this_program() -> Result<Workbench> {
        prerequisites::check_cells().require()?;
        let environment = Self::python()?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let Some(stem) = program.to_str() else {
            bail!(
                "the path of this program, {}, is not UTF-8, and a kernelspec cannot hold it",
                program.display()
            );
        };
        // Each installation has its own kernelspecs.
        let prefix = places::cache_folder()?
            .join("jupyter-of")
            .join(stem.trim_start_matches('/').replace('/', "-"));
        let kernel = Kernel::install(program, prefix, &environment)?;
        Ok(Workbench {
            environment,
            kernel,
            scripts: Scripts::unpack()?,
        })
    }

    /// The Python environment of this program.
    ///
    /// # Errors
    ///
    /// If its own lacks what lessons need, and none can be made.
    pub fn python() -> Result<Environment> {
        match Environment::with_jupyter(&places::prefix()?) {
            Some(own) => Ok(own),
            None => {
                Report::default().with_python().require()?;
                python::ensure()
            }
        }
    }
}
