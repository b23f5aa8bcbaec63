//! What a message costs: `mpirun -n 2 target/release/examples/round_trips`, with the settings of
//! interest (`--mca btl tcp,self`), on one machine or two.

use std::time::Instant;

use forklore::cluster::{Link, MAX_FRAME};
use forklore_node::MpiLink;

fn main() -> std::io::Result<()> {
    let mut link = MpiLink::open()?;
    for (n_bytes, n_trips) in [(8, 5000), (4096, 2000), (65_536, 500), (MAX_FRAME, 100)] {
        let mut times_us: Vec<f64> = Vec::new();
        for _ in 0..n_trips {
            let message = vec![1; n_bytes];
            let begin = Instant::now();
            if link.rank() == 0 {
                link.send(message)?;
                receive(&mut link)?;
            } else {
                let message = receive(&mut link)?;
                link.send(message)?;
            }
            times_us.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        times_us.sort_by(f64::total_cmp);
        if link.rank() == 0 {
            let (best, median) = (times_us[0], times_us[n_trips / 2]);
            println!("{n_bytes:>8} bytes: round trip {median:.1} µs (best {best:.1})");
        }
    }
    // One rank's end ends the other, so the agent's last word comes first.
    if link.rank() == 0 {
        receive(&mut link)?;
    } else {
        link.send(vec![])?;
        loop {
            link.receive()?;
        }
    }
    Ok(())
}

fn receive(link: &mut MpiLink) -> std::io::Result<Vec<u8>> {
    loop {
        if let Some(message) = link.receive()? {
            return Ok(message);
        }
    }
}
