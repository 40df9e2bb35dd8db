"""A daemon with all of its services on a cable of its own, asked for its status from inside its network."""
from .daemon import Daemon
from .dhcp_client import entered


class FarDaemon(Daemon):
    """`namespace` is set before the start; `custom` is a folder of more boot files."""
    namespace = None
    custom = None
    dhcp = "server"

    def text(self):
        files = f'custom-directory = "{self.custom}"' if self.custom else ""
        return f"""
interfaces = ( {{ name = "eth0"; dhcp = "{self.dhcp}" }} );
state-directory = "{self.state}";
status = {{ listen = "127.0.0.1:{self.status_port}" }};
portals = [ "0.0.0.0:{self.port}" ];
boot = {{ {files} }};
limits = {{ {self.limits} }};
{self.more}
targets = ( {", ".join(self.targets)} );
"""

    def http(self, *words, **options):
        with entered(self.namespace):
            return super().http(*words, **options)

    def sessions(self, name):
        return [one for one in self.status()["sessions"] if one["initiator"] == name]
