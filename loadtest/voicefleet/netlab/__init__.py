"""Network namespaces with a link between them whose delay, loss and rate are known: a network for experiments.

    with open_lab() as lab:
        link = lab.connect("near", "far", Conditions(delay_ms=50, loss=0.05))
        subprocess.run(lab.inside("near", ["ping", "-c", "3", link.far_address]))
        link.readings().up.lost

The link is the kernel's `netem` where the kernel has it, else a process of ours between two TUN devices. Either way
the packets are the kernel's own: its TCP, and any program's UDP, run over the link unchanged.
"""
