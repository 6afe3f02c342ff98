"""The MCP server of `mcp_tools.py`: two tools, over stdin and stdout."""

from mcp.server.mcpserver import MCPServer

travel = MCPServer("travel")


@travel.tool()
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@travel.tool()
def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


if __name__ == "__main__":
    travel.run()
