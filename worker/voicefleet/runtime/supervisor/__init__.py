"""Child processes: started, watched, and ended for sure with the process that started them."""
