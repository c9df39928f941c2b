import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.zone.ZoneOffsetTransition;
import java.time.zone.ZoneRules;
import java.time.zone.ZoneRulesProvider;
import java.util.TreeSet;

/**
 * What java.time makes of a few local times around every clock change from 2000 to 2037 of the zones named on stdin.
 *
 * <p>Lines: {@code zone NAME OFFSET} (seconds, at the beginning of 2000), {@code change INSTANT OFFSET} (from then on),
 * {@code day EPOCHDAY n,first,second n,first,second ...} for each of TIMES: how many offsets are valid (0 in a gap, 2 in
 * an overlap), and the instants (epoch seconds) with the earlier and the later offset; in a gap the time moved forward by
 * its length. {@code missing NAME} for a zone that this JDK does not know.
 */
public class Instants {
  private static final LocalTime[] TIMES = {
    LocalTime.of(9, 0), LocalTime.of(2, 30), LocalTime.of(1, 30), LocalTime.MIDNIGHT
  };
  private static final Instant BEGIN = Instant.parse("2000-01-01T00:00:00Z");
  private static final Instant END = Instant.parse("2038-01-01T00:00:00Z");

  public static void main(String[] args) throws IOException {
    var out = new PrintWriter(System.out, false);
    String version = ZoneRulesProvider.getVersions("Europe/Berlin").lastEntry().getKey();
    out.println("# tzdb " + version + ", Java " + System.getProperty("java.version"));
    var names = new BufferedReader(new InputStreamReader(System.in));
    for (String name = names.readLine(); name != null; name = names.readLine()) {
      if (ZoneRulesProvider.getAvailableZoneIds().contains(name)) {
        zone(ZoneId.of(name), out);
      } else {
        out.println("missing " + name);
      }
    }
    out.flush();
  }

  private static void zone(ZoneId zone, PrintWriter out) {
    ZoneRules rules = zone.getRules();
    out.println("zone " + zone.getId() + " " + rules.getOffset(BEGIN).getTotalSeconds());
    var days = new TreeSet<LocalDate>();
    for (ZoneOffsetTransition change = rules.nextTransition(BEGIN);
        change != null && change.getInstant().isBefore(END);
        change = rules.nextTransition(change.getInstant())) {
      out.println("change " + change.toEpochSecond() + " " + change.getOffsetAfter().getTotalSeconds());
      for (LocalDateTime side : new LocalDateTime[] {change.getDateTimeBefore(), change.getDateTimeAfter()}) {
        for (int distance = -1; distance <= 1; distance++) {
          days.add(side.toLocalDate().plusDays(distance));
        }
      }
    }
    for (LocalDate day : days) {
      var line = new StringBuilder("day ").append(day.toEpochDay());
      for (LocalTime time : TIMES) {
        LocalDateTime local = day.atTime(time);
        ZonedDateTime there = local.atZone(zone);
        line.append(' ').append(rules.getValidOffsets(local).size());
        line.append(',').append(there.withEarlierOffsetAtOverlap().toEpochSecond());
        line.append(',').append(there.withLaterOffsetAtOverlap().toEpochSecond());
      }
      out.println(line);
    }
  }
}
