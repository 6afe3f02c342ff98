-- Begins every script: its arguments by name, Redis's clock, and the one place where stored values are written and read.
-- Python puts in what is in double angle brackets: the schema version and the fields of `contract.claims`.
local args = cjson.decode(ARGV[1])
local SCHEMA = <<SCHEMA_VERSION>>

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The stored value in `text`. Nil: none, or of another schema version, which is unknown and never read as if it were ours.
local function read_value(text)
  local readable, value = pcall(cjson.decode, text)
  return readable and type(value) == 'table' and value.v == SCHEMA and value or nil
end

-- Fields that this release does not know stay as they are: a release of the same schema version wrote them.
local function write_value(fields, value)
  for _, name in ipairs(fields) do
    assert(value[name] ~= nil, 'no ' .. name)
  end
  value.v = SCHEMA
  return cjson.encode(value)
end

-- The claim in `text`. Nil or false: none. One that cannot be read is somebody's all the same; it matches no worker and
-- no job, not even one without a name.
local function read_claim(text)
  return text and (read_value(text) or {worker = false, job = false, epoch = 0, state = 'unknown', room_sid = ''})
end

local function write_claim(claim)
  return write_value({<<CLAIM_FIELDS>>}, claim)
end

-- The handoff in `text`. Nil: none, or one that cannot be read.
local function read_handoff(text)
  return text and read_value(text)
end

local function write_handoff(handoff)
  return write_value({<<HANDOFF_FIELDS>>}, handoff)
end

-- Why a call wants no agent. Nil or false: it may have one. One that cannot be read was set by somebody all the same, and
-- stands for every room of that name.
local function read_aside(text)
  return text and (read_value(text) or {why = 'released', room_sid = '', reason = 'unknown', at_ms = 0})
end

local function write_aside(aside)
  return write_value({<<ASIDE_FIELDS>>}, aside)
end

-- Whether two sids are, or may be, of the same room; '' is unknown.
local function same_room(one, other)
  return one == '' or other == '' or one == other
end

