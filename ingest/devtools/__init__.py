"""For development and demonstrations: simulated upstreams and sample feeds."""
