-- Bring the queue up to date with callers and claims, and tell what changed since the last look.
-- KEYS: callers, waiting, inflight, changed, renewed, open_claims.
-- args: claim_prefix, call_prefix, aside_prefix, released_ttl_ms (of a released call with a caller), channel_prefix (of the
-- jobs' channels), grace_ms, priority_level_ms (waiting that one level of priority is worth), overdue_ms (after which a
-- renewal is overdue), changes_kept_ms, last_ms (time of the last look; 0: none), walk_through (which set to look through:
-- 1 callers, 2 waiting, 0 neither), walk_cursor and walk_part (where in it, and how many at once), listeners_cursor and
-- listeners_part (the same in open_claims; '0': a new round), listeners_asked_ms (when its last round began),
-- listeners_every_ms (between two of those), rooms (to be looked at in any case).
-- A caller without a claim for longer than the grace is a waiting call, if it wants an agent. Its rank is the time it
-- joined, less its priority: it stays as it is, so that whoever waits longer overtakes every later one in the end.
-- Returns {now_ms, time up to which changes are told (there are more when it is not now), next cursor in the set
-- looked through (0: done), id of the server or '', next cursor in open_claims (0: done; '': not asked), {{job that holds
-- a call and does not listen, its room}, ...}, {room in open_claims without a claim and without a caller, ...}, {room,
-- joined_ms or '', rank or '', claim or '', served, why it wants no agent or ''}, ...}. Looked at are the calls that
-- changed, those of the part looked through, those asked for, and those whose job is silent or overdue; without a time
-- of joining there is no such call (any more). No look is longer for more calls: whoever wants all of them goes on with
-- the cursor.
-- `served` is the rank a call waited with when this very scan found its claim, else '': one scan of one replica sees it.
local AT_ONCE, MOST_CHANGES = 1000, 300
local now, last = now_ms(), args.last_ms
local overdue = now - args.overdue_ms

local rooms, known = {}, {}
local function look_at(room)
  if not known[room] then
    known[room] = true
    rooms[#rooms + 1] = room
  end
end
local function in_parts(list, work)
  for from = 1, #list, AT_ONCE do
    local part = {}
    for i = from, math.min(#list, from + AT_ONCE - 1) do
      part[#part + 1] = list[i]
    end
    work(part)
  end
end
local function priority(room)
  local text = redis.call('GET', args.call_prefix .. room)
  local call = text and read_value(text)
  local level = call and tonumber(call.priority) or 0
  return math.max(0, math.min(9, level))
end

local cursor = '0'
if args.walk_through ~= 0 then
  if args.walk_through == 1 and args.walk_cursor == '0' then
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - args.changes_kept_ms)
  end
  local found = redis.call('ZSCAN', KEYS[args.walk_through], args.walk_cursor, 'COUNT', args.walk_part)
  cursor = found[1]
  for i = 1, #found[2], 2 do
    look_at(found[2][i])
  end
end
local told = now
if last > 0 then
  local changes = redis.call('ZRANGEBYSCORE', KEYS[4], last, '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_CHANGES)
  for i = 1, #changes, 2 do
    look_at(changes[i])
  end
  if #changes == 2 * MOST_CHANGES then
    told = tonumber(changes[#changes])
    if told == last then
      -- More than that in one millisecond.
      for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], last, last)) do
        look_at(room)
      end
      told = last + 1
    end
  end
end
for _, room in ipairs(args.rooms) do
  look_at(room)
end
for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. overdue)) do
  look_at(room)
end
local next_open, silent, orphans, channels, room_of = '', {}, {}, {}, {}
local asked = args.listeners_asked_ms
if args.listeners_cursor ~= '0' or now - asked >= args.listeners_every_ms or now < asked then
  local open = redis.call('HSCAN', KEYS[6], args.listeners_cursor, 'COUNT', args.listeners_part)
  next_open = open[1]
  for i = 1, #open[2], 2 do
    local channel = args.channel_prefix .. open[2][i + 1]
    channels[#channels + 1] = channel
    room_of[channel] = open[2][i]
  end
end
in_parts(channels, function(part)
  local quiet, claim_keys = {}, {}
  local counts = redis.call('PUBSUB', 'NUMSUB', unpack(part))
  for i = 1, #counts, 2 do
    if tonumber(counts[i + 1]) == 0 then
      quiet[#quiet + 1] = counts[i]
      claim_keys[#claim_keys + 1] = args.claim_prefix .. room_of[counts[i]]
    end
  end
  if #quiet == 0 then
    return
  end
  local claims = redis.call('MGET', unpack(claim_keys))
  for i, channel in ipairs(quiet) do
    local room = room_of[channel]
    if claims[i] then
      silent[#silent + 1] = {string.sub(channel, #args.channel_prefix + 1), room}
      look_at(room)
    elseif not redis.call('ZSCORE', KEYS[1], room) then
      orphans[#orphans + 1] = room
    end
  end
end)

-- A Redis that does not let us ask for its server's id does without: other guards are left.
local server = redis.pcall('INFO', 'server')
local life = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''
local out = {tostring(now), tostring(told), cursor, life, next_open, silent, orphans}
in_parts(rooms, function(part)
  local claim_keys, aside_keys = {}, {}
  for i, room in ipairs(part) do
    claim_keys[i], aside_keys[i] = args.claim_prefix .. room, args.aside_prefix .. room
  end
  local claims = redis.call('MGET', unpack(claim_keys))
  local asides = redis.call('MGET', unpack(aside_keys))
  local joined = redis.call('ZMSCORE', KEYS[1], unpack(part))
  local ranks = redis.call('ZMSCORE', KEYS[2], unpack(part))
  local inflight = redis.call('ZMSCORE', KEYS[3], unpack(part))
  local renewed = redis.call('ZMSCORE', KEYS[5], unpack(part))
  for i, room in ipairs(part) do
    local claim, rank, served = claims[i], ranks[i], ''
    local aside = read_aside(asides[i])
    if aside and aside.why == 'released' then
      if claim then
        -- A worker of an older release took it: it knows of no released call.
        redis.call('DEL', aside_keys[i])
        aside = nil
      elseif joined[i] then
        redis.call('PEXPIRE', aside_keys[i], args.released_ttl_ms)
      end
    end
    if claim or aside or not joined[i] then
      if rank then
        served = claim and rank or ''
        redis.call('ZREM', KEYS[2], room)
        rank = false
      end
      if inflight[i] then
        redis.call('ZREM', KEYS[3], room)
      end
    elseif not rank and now - tonumber(joined[i]) >= args.grace_ms then
      rank = tostring(tonumber(joined[i]) - priority(room) * args.priority_level_ms)
      redis.call('ZADD', KEYS[2], rank, room)
    end
    if not claim then
      if renewed[i] then
        note.unheld(room, renewed[i])
        redis.call('ZREM', KEYS[5], room)
      end
    elseif not renewed[i] then
      -- A job of an older release renews its claim and does not say so here.
      local value = read_value(claim)
      if value and value.state == 'live' and tonumber(value.renewed_ms) then
        redis.call('ZADD', KEYS[5], value.renewed_ms, room)
      end
    end
    out[#out + 1] = {room, joined[i] or '', rank or '', claim or '', served, aside and not claim and asides[i] or ''}
  end
end)
return out
