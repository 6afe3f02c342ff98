-- A job that holds, or held, a call tells more of it. KEYS: open_calls. args: room, room_sid, job, tier, language, trace (id,
-- or ''), facts ({{e, ago_ms, ...}, ...}). Returns 1 when they are noted; 0: no call is known that was this job's, and
-- nothing is.
local id = call_in(args.room, args.room_sid)
local epoch = id and redis.call('HGET', log_of(id), 'held:' .. args.job)
if not epoch then
  return 0
end
local log, now = log_of(id), now_ms()
redis.call('HSET', log, 'tier', args.tier)
if args.language ~= '' then
  redis.call('HSET', log, 'language', args.language)
end
if args.trace ~= '' then
  redis.call('HSET', log, 'trace', args.trace)
end
local room_for = MOST_FACTS - redis.call('LLEN', PREFIX .. 'call_facts:' .. id)
for number, fact in ipairs(args.facts) do
  if number <= room_for then
    fact.t, fact.ago_ms, fact.epoch = now - fact.ago_ms, nil, tonumber(epoch)
    add_fact(id, fact)
  else
    redis.call('HINCRBY', log, 'more_facts', 1)
  end
end
return 1
