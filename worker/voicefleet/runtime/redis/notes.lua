-- Begins, after the prelude, every script that notes what becomes of a call, for its history and its events
-- (`contract.call_log`). A call is known by the LiveKit sid of its room, and by `sid.2`, `sid.3` where callers come
-- again after it had ended. All its keys have the region's prefix, as KEYS[1] has. What cannot be noted must never fail
-- a claim: every note is guarded.
local PREFIX = string.match(KEYS[1] or '', '^.-{.-}:')
local LOG_TTL_MS, MOST_FACTS, MOST_EVENTS = <<LOG_TTL_MS>>, <<MOST_FACTS>>, <<MOST_EVENTS>>
local ENDS_AFTER_MS, FLUSH_MS, MOST_NOTES = <<ENDS_AFTER_MS>>, <<FLUSH_MS>>, <<MOST_NOTES>>

local function log_of(id)
  return PREFIX .. 'call_log:' .. id
end

-- The id of the newest call in the room with this sid ('': in the newest room of this name), or nil.
local function call_in(room, sid)
  if sid == '' then
    return redis.call('GET', PREFIX .. 'call_of:' .. room) or nil
  end
  local number = redis.call('GET', PREFIX .. 'calls_in:' .. sid)
  return number and (number == '1' and sid or sid .. '.' .. number) or nil
end

local function is_open(id)
  local known = id and redis.call('HMGET', log_of(id), 'room', 'ended_ms')
  return known and known[1] and not known[2]
end

-- Look at the call then at the latest: it may be over.
local function look_at(id, at_ms)
  redis.call('ZADD', PREFIX .. 'open_calls', 'LT', at_ms, id)
  redis.call('PEXPIRE', PREFIX .. 'open_calls', LOG_TTL_MS)
end

local function add_fact(id, fact)
  fact.t = fact.t or now_ms()
  local facts = PREFIX .. 'call_facts:' .. id
  redis.call('RPUSH', facts, cjson.encode(fact))
  redis.call('PEXPIRE', facts, LOG_TTL_MS)
  redis.call('PEXPIRE', log_of(id), LOG_TTL_MS)
end

-- Have the controllers tell who asked for it, once. Nothing is kept when no controller has a receiver; a Redis that
-- lost its data does not know, and keeps it.
local function add_event(id, type, name, data)
  local first = redis.call('HSETNX', log_of(id), 'told:' .. name, 1) == 1
  if first and redis.call('GET', PREFIX .. 'call_events_wanted') ~= '0' then
    redis.call('XADD', PREFIX .. 'call_events', 'MAXLEN', '~', MOST_EVENTS, '*', 'id', id .. '.' .. name, 'type', type,
      'call', id, 'at_ms', now_ms(), 'data', data)
  end
end

-- The id of the open call in the room; opened now where there is none, and again where it had ended and may be `again`.
local function open_call(room, sid, again)
  local id, now = call_in(room, sid), now_ms()
  if is_open(id) or sid == '' then
    return is_open(id) and id or nil
  end
  if id and not again then
    return nil
  end
  local before = call_in(room, '')
  if before and is_open(before) then
    redis.call('HSETNX', log_of(before), 'reason', 'room_lost')
    redis.call('HSETNX', log_of(before), 'over_ms', now)
    look_at(before, now + FLUSH_MS)
  end
  local number = redis.call('INCR', PREFIX .. 'calls_in:' .. sid)
  redis.call('PEXPIRE', PREFIX .. 'calls_in:' .. sid, LOG_TTL_MS)
  id = number == 1 and sid or sid .. '.' .. number
  redis.call('HSET', log_of(id), 'room', room, 'opened_ms', now)
  redis.call('SET', PREFIX .. 'call_of:' .. room, id, 'PX', LOG_TTL_MS)
  look_at(id, now + ENDS_AFTER_MS)
  add_fact(id, {e = 'started'})
  add_event(id, 'call.started', 'started', cjson.encode({room = room}))
  return id
end

local note = {}

-- A caller is in the room. The call's record, if there is one, tells whose it is. Returns {id, trace id or ''} when the
-- caller was not known to be there.
function note.caller(room, sid)
  local id = open_call(room, sid, true)
  if not id then
    return
  end
  local log, text = log_of(id), redis.call('GET', PREFIX .. 'call:' .. room)
  local record = text and read_value(text)
  if record then
    redis.call('HSETNX', log, 'key', record.key or '')
    local order = type(record.order) == 'table' and record.order or {}
    redis.call('HSETNX', log, 'tier', order.tier or '')
    redis.call('HSETNX', log, 'language', order.language or '')
    local trace = string.match(order.traceparent or '', '^%x%x%-(%x+)%-')
    if trace then
      redis.call('HSETNX', log, 'trace', trace)
    end
  end
  redis.call('HDEL', log, 'left_ms')
  if redis.call('HSETNX', log, 'here', 1) == 1 then
    local why = record and record.placement
    add_fact(id, {e = 'caller', why = why ~= '' and why or nil})
    return {id, redis.call('HGET', log, 'trace') or ''}
  end
end

-- The last caller of the room is gone.
function note.no_caller(room)
  local id = call_in(room, '')
  if is_open(id) then
    local now = now_ms()
    redis.call('HSET', log_of(id), 'left_ms', now)
    redis.call('HDEL', log_of(id), 'here')
    look_at(id, now + ENDS_AFTER_MS)
    add_fact(id, {e = 'no_caller'})
  end
end

-- The job holds the call, alive, and speaks. `moved`: another one gave it the call.
function note.live(room, sid, worker, job, epoch, moved)
  local id = open_call(room, sid, false)
  if not id then
    return
  end
  local log, now = log_of(id), now_ms()
  local known = redis.call('HMGET', log, 'job', 'answered', 'released', 'worker', 'lost_ms', 'opened_ms', 'let_go')
  if known[1] == job then
    return
  end
  local fact = {e = 'recovered', worker = worker, epoch = epoch, from_worker = known[4] or ''}
  if moved then
    fact.e = 'moved'
  elseif not known[2] or known[3] or known[7] then
    fact.e, fact.from_worker = 'answered', nil
    fact.waited_ms = not known[2] and now - known[6] or nil
  elseif known[5] then
    fact.gap_ms = now - known[5]
  end
  redis.call('HDEL', log, 'released', 'lost_ms', 'let_go', 'unheld_ms', 'said:waiting', 'said:dispatched')
  redis.call('HSET', log, 'job', job, 'worker', worker, 'epoch', epoch, 'answered', 1, 'held:' .. job, epoch)
  add_fact(id, fact)
  local data = {room = room, worker = worker, epoch = epoch, from_worker = fact.from_worker}
  data.waited_s = fact.waited_ms and fact.waited_ms / 1000
  data.gap_s = fact.gap_ms and fact.gap_ms / 1000
  add_event(id, 'call.' .. fact.e, fact.e .. '.' .. epoch, cjson.encode(data))
end

-- The job has the call no more, and nobody has it. `how`: left (it ended), lost (it was taken from it) or expired. `why`
-- it was taken, and since when it gave no sign of life, where that is known.
function note.gone(room, sid, job, how, why, renewed_ms)
  local id = call_in(room, sid)
  if is_open(id) and redis.call('HGET', log_of(id), 'job') == job then
    local now = now_ms()
    local since = tonumber(renewed_ms or redis.call('HGET', log_of(id), 'unheld_ms') or now)
    redis.call('HDEL', log_of(id), 'job')
    redis.call('HSET', log_of(id), 'lost_ms', now)
    if how == 'left' and redis.call('HEXISTS', log_of(id), 'here') == 0 then
      -- Its caller had left before. One who is back gets an agent that was not lost.
      redis.call('HSET', log_of(id), 'let_go', 1)
    end
    look_at(id, now + ENDS_AFTER_MS)
    add_fact(id, {e = how, why = why, silent_ms = since < now and now - since or nil})
  end
end

-- The claim of the call ran out, and was last renewed then.
function note.unheld(room, renewed_ms)
  local id = call_in(room, '')
  if is_open(id) and redis.call('HEXISTS', log_of(id), 'job') == 1 then
    redis.call('HSETNX', log_of(id), 'unheld_ms', renewed_ms)
  end
end

-- Something that a controller sees of the call; said again only once its `state` is another one. Returns true when it is
-- noted now.
function note.said(room, fact, state)
  local id = call_in(room, '')
  if not is_open(id) or redis.call('HGET', log_of(id), 'said:' .. fact.e) == state then
    return false
  end
  redis.call('HSET', log_of(id), 'said:' .. fact.e, state)
  if redis.call('HINCRBY', log_of(id), 'notes:' .. fact.e, 1) > MOST_NOTES then
    return false
  end
  fact.t = nil
  add_fact(id, fact)
  return true
end

-- The agent ended its part on purpose: nobody is sent there until somebody asks.
function note.released(room, sid, reason)
  local id = call_in(room, sid)
  if is_open(id) then
    local log, now = log_of(id), now_ms()
    local known = redis.call('HMGET', log, 'worker', 'epoch')
    redis.call('HDEL', log, 'job')
    redis.call('HSET', log, 'released', 1, 'lost_ms', now)
    look_at(id, now + ENDS_AFTER_MS)
    add_fact(id, {e = 'released', reason = reason})
    add_event(id, 'call.released', 'released.' .. (known[2] or 0),
      cjson.encode({room = room, worker = known[1] or '', epoch = tonumber(known[2] or 0), reason = reason}))
  end
end

-- The room is over. `reason`: '' where nobody gave one before.
function note.over(room, sid, reason)
  local id = call_in(room, sid)
  if is_open(id) then
    local log, now = log_of(id), now_ms()
    redis.call('HSETNX', log, 'reason', reason)
    if redis.call('HSETNX', log, 'over_ms', now) == 1 then
      look_at(id, now + FLUSH_MS)
    end
  end
end

for name, write in pairs(note) do
  note[name] = function(...)
    if PREFIX then
      local done, answer = pcall(write, ...)
      return done and answer or nil
    end
  end
end
